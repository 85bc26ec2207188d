"""What trials are compared by: figures from validation logits, and one number made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras_tuner
import numpy as np
from sklearn import metrics

from tftune.config.model_spec import HeadSpec
from tftune.errors import ConfigError, did_you_mean
from tftune.training.losses import head_loss

# Each task's figures, the best known first, and whether more of it is better.
_FIGURES = {
    "multiclass": {"accuracy": True, "macro_f1": True, "loss": False},
    "multilabel": {"macro_f1": True, "micro_f1": True, "loss": False},
    "regression": {"rmse": False, "mae": False, "r2": True, "loss": False},
}
WEIGHTED_SUM = "weighted_sum"


@dataclass(frozen=True)
class Objective:
    """What a search makes as good as it can.

    Attributes:
        weights: by figure; of a single one the weight is 1. A sum of several is made as large as
            possible, so what should be small has a negative weight.
        more_is_better: whether the figure, or the sum, is to be large.
    """

    weights: Mapping[str, float]
    more_is_better: bool

    @classmethod
    def of(cls, asked: str | Mapping[str, float] | None, heads: Sequence[HeadSpec]) -> Objective:
        """Read what a caller asked for.

        Args:
            asked: the name of a figure, with or without "validation_" before it; several with
                weights; or None for the task's first (of several heads, for their summed loss).
            heads: what the model answers; the figures of several are called after the head too:
                "colour_accuracy".

        Raises:
            ConfigError: if the heads have no such figure, or a weight is no number but 0.
        """
        known = _known(heads)
        if asked is None:
            asked = next(iter(known))
        given = {asked: 1.0} if isinstance(asked, str) else dict(asked)
        weights = {name.removeprefix("validation_"): w for name, w in given.items()}
        for name in weights:
            if name not in known:
                raise ConfigError(
                    f"`objective` must be one of {', '.join(map(repr, known))}, or these with "
                    f"weights. Received: {name!r}.{did_you_mean(name, known)}"
                )
        if not weights or not all(np.isfinite(w) and w for w in weights.values()):
            raise ConfigError(
                "`objective` must name at least one figure, with weights other than 0. "
                f"Received: {asked!r}."
            )
        if isinstance(asked, str):
            return cls(weights, known[next(iter(weights))])
        return cls({name: float(w) for name, w in weights.items()}, True)

    @property
    def name(self) -> str:
        """The figure's name, or "weighted_sum"."""
        single = len(self.weights) == 1 and set(self.weights.values()) == {1.0}
        return next(iter(self.weights)) if single else WEIGHTED_SUM

    @property
    def rule(self) -> str:
        """What is done to what, in words."""
        verb = "highest" if self.more_is_better else "lowest"
        terms = " ".join(
            f"{weight:+g} x {name}" for name, weight in self.weights.items()
        ).removeprefix("+")
        return f"{verb} {self.name if self.name != WEIGHTED_SUM else terms}"

    def value(self, figures: Mapping[str, float]) -> float:
        """Compute the number from a trial's figures."""
        return float(sum(weight * figures[name] for name, weight in self.weights.items()))

    def for_keras_tuner(self) -> keras_tuner.Objective:
        """Return it as keras-tuner takes it."""
        return keras_tuner.Objective("objective", "max" if self.more_is_better else "min")

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {"weights": dict(self.weights), "more_is_better": self.more_is_better}


def figures_of(
    heads: Sequence[HeadSpec], logits: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Measure the answers of all heads.

    Args:
        heads: say what the logits mean.
        logits: by head name.
        labels: by head name, as the heads' targets hold them; unknown ones count nothing.

    Returns:
        The figures of one head; of several, each head's by head and figure ("colour_accuracy")
        after "loss", which is the sum of the heads' losses.
    """
    found = {head.name: head_figures(head, logits[head.name], labels[head.name]) for head in heads}
    if len(heads) == 1:
        return found[heads[0].name]
    by_name = {f"{name}_{figure}": v for name, own in found.items() for figure, v in own.items()}
    return {"loss": sum(own["loss"] for own in found.values()), **by_name}


def _known(heads: Sequence[HeadSpec]) -> dict[str, bool]:
    """Name the figures that heads have, the default first, and whether more of each is better."""
    foreign = [head.task for head in heads if head.task not in _FIGURES]
    if foreign:
        raise ConfigError(
            f"Heads that can be searched are {', '.join(_FIGURES)}. Received: {foreign[0]}."
        )
    if len(heads) == 1:
        return _FIGURES[heads[0].task]
    by_name = {
        f"{head.name}_{figure}": more
        for head in heads
        for figure, more in _FIGURES[head.task].items()
    }
    return {"loss": False, **by_name}


def head_figures(head: HeadSpec, logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Measure logits, by the same definitions as `tftune.evaluate` but without intervals.

    Args:
        head: says what the logits mean.
        logits: shape (num_examples, num_outputs).
        labels: as the head's target holds them; unknown ones count nothing.

    Returns:
        The task's figures; "loss" is that of the head's task without smoothing or class weights, so
        that trials that train with different ones compare.
    """
    figures = {"loss": float(head_loss(head)(labels, logits))}
    if head.task == "multiclass":
        known = labels >= 0
        true, guess = labels[known], logits[known].argmax(axis=1)
        figures["accuracy"] = float(np.mean(true == guess))
        figures["macro_f1"] = float(metrics.f1_score(true, guess, average="macro", zero_division=0))
        return figures
    known = np.isfinite(labels)
    columns = range(labels.shape[1])
    if head.task == "multilabel":
        pairs = [(labels[known[:, c], c] > 0.5, logits[known[:, c], c] > 0) for c in columns]
        scores = [metrics.f1_score(true, guess, zero_division=0) for true, guess in pairs]
        figures["macro_f1"] = float(np.mean(scores))
        figures["micro_f1"] = float(
            metrics.f1_score(*(np.concatenate(p) for p in zip(*pairs, strict=True)))
        )
        return figures
    values = logits * np.array(head.scale) + np.array(head.offset)
    by_column = [(labels[known[:, c], c], values[known[:, c], c]) for c in columns]
    figures["mae"] = float(np.mean([metrics.mean_absolute_error(*pair) for pair in by_column]))
    squares = [metrics.mean_squared_error(*pair) for pair in by_column]
    figures["rmse"] = float(np.mean(np.sqrt(squares)))
    figures["r2"] = float(np.mean([metrics.r2_score(*pair) for pair in by_column]))
    return figures
