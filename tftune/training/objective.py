"""What a phase minimises: its heads' losses, each as the phase asks, weighted and summed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tftune.builders.heads import by_head
from tftune.config.model_spec import HeadSpec
from tftune.config.phase import Phase
from tftune.data.dataset import Split
from tftune.data.imbalance import (
    balanced_class_weights,
    positive_weights,
    softened_class_weights,
)
from tftune.data.targets import Target
from tftune.errors import ConfigError, did_you_mean
from tftune.training.losses import head_loss, head_metric


class Objective:
    """The losses of a model's heads and what each counts.

    Attributes:
        heads: what the model answers.
        losses: a Keras loss a head, by head name.
        weights: what each loss is multiplied by before all are summed, by head name.
    """

    def __init__(
        self,
        heads: Sequence[HeadSpec],
        losses: Mapping[str, keras.losses.Loss],
        weights: Mapping[str, float],
    ) -> None:
        self.heads = tuple(heads)
        self.losses = dict(losses)
        self.weights = dict(weights)

    def compile(
        self, network: keras.Model, optimizer: keras.optimizers.Optimizer | None = None
    ) -> None:
        """Compile a network of these heads, to train where there is an optimizer.

        For one head what Keras measures is called "loss" and "accuracy"; for several it is called
        after the head too: "colour_loss", "colour_accuracy".

        Args:
            network: gives the heads' logits: a tensor, or for several heads one by head name.
            optimizer: the one to train with.
        """
        given = {} if optimizer is None else {"optimizer": optimizer}
        if len(self.heads) == 1:
            head = self.heads[0]
            network.compile(loss=self.losses[head.name], metrics=[head_metric(head)], **given)
            return
        # Keras takes layers' names for outputs' names, and some versions (3.10) find nothing else.
        network.output_names = sorted(head.name for head in self.heads)
        network.compile(
            loss=self.losses,
            loss_weights=self.weights,
            metrics={head.name: [head_metric(head)] for head in self.heads},
            **given,
        )

    def value(self, labels: Any, logits: Any, batch_size: int | None = None) -> float:
        """Compute the loss over a split, as Keras does when it validates.

        Args:
            labels: as `batches.labels_of` gives them.
            logits: as the model's top gives them.
            batch_size: examples a step; where labels are unknown the mean over steps is not quite
                the mean over the known labels, so what is compared must be measured alike. None
                takes all examples in one step.

        Returns:
            The weighted sum of the heads' losses.
        """
        true_by_head, logits_by_head = by_head(self.heads, labels), by_head(self.heads, logits)
        total = 0.0
        for name in self.losses:
            true, rows = true_by_head[name], logits_by_head[name]
            size = batch_size or len(true)
            for start in range(0, len(true), size):
                part = slice(start, start + size)
                loss = float(self.losses[name](true[part], rows[part]))
                total += self.weights[name] * loss * len(true[part]) / len(true)
        return total


def training_objective(heads: Sequence[HeadSpec], phase: Phase, split: Split) -> Objective:
    """Return what a phase minimises.

    Args:
        heads: the model's.
        phase: weighs heads and classes, smooths labels and names the kind of loss.
        split: the training split, whose labels "balanced" weights come from.

    Raises:
        ConfigError: if the phase's settings do not fit the tasks, the heads or the classes.
    """
    losses = {}
    for head, target in zip(heads, split.targets, strict=True):
        regression = head.task == "regression"
        # One setting serves all heads, so it is an error only where it serves none.
        silent = regression and len(heads) > 1
        losses[head.name] = head_loss(
            head,
            label_smoothing=0.0 if silent else phase.label_smoothing,
            focal_gamma=0.0 if silent else phase.focal_gamma,
            class_weights=None if silent else class_weights(phase, target, len(heads)),
            regression=phase.regression_loss,
        )
    return Objective(heads, losses, _head_weights(heads, phase))


def plain_objective(heads: Sequence[HeadSpec], phase: Phase, split: Split) -> Objective:
    """Return the heads' plain losses, with classes and heads weighed as a phase does.

    That is what sets of weights are judged by: no smoothing and no focusing.
    """
    plain = phase.replace(label_smoothing=0.0, focal_gamma=0.0)
    return training_objective(heads, plain, split)


def repeated_target(phase: Phase, split: Split) -> Target | None:
    """Return the target whose rare classes a phase repeats, or None.

    Raises:
        ConfigError: if there is more than one target, or not one class an example.
    """
    if not phase.oversample:
        return None
    if len(split.targets) > 1 or split.task != "multiclass":
        raise ConfigError(
            "`oversample` needs one head with one class an example. Received: "
            f"{', '.join(target.task for target in split.targets)}. Take `class_weights`."
        )
    return split.targets[0]


def class_weights(phase: Phase, target: Target, num_heads: int = 1) -> list[float] | None:
    """Return what each class weighs, or None where all weigh the same.

    "balanced" weighs a class by the inverse of its frequency (`balanced_class_weights`); where an
    example may have several classes, a "yes" weighs as much as all of the class's "no" together.
    "square_root" weighs by the square root of that.

    Args:
        phase: its `class_weights` are asked for by class name, or by head name where there are
            several heads.
        target: the training labels of the head.
        num_heads: how many heads the model has.

    Raises:
        ConfigError: if the weights name unknown classes.
    """
    wanted: Any = phase.class_weights
    if num_heads > 1 and isinstance(wanted, Mapping):
        wanted = wanted.get(target.name)
    if wanted is None:
        return None
    if target.task == "regression":
        raise ConfigError("`class_weights` is for classes. Received it for a regression head.")
    if not isinstance(wanted, Mapping):
        softened = wanted == "square_root"
        if target.task == "multilabel":
            weights = positive_weights(target)
            return (np.sqrt(weights) if softened else weights).tolist()
        return (softened_class_weights if softened else balanced_class_weights)(target).tolist()
    unknown = [name for name in wanted if name not in target.class_names]
    if unknown:
        raise ConfigError(
            f"`class_weights` must name classes of the data. Received: {unknown}."
            f"{did_you_mean(unknown[0], target.class_names)}"
        )
    return [float(wanted.get(name, 1.0)) for name in target.class_names]


def _head_weights(heads: Sequence[HeadSpec], phase: Phase) -> dict[str, float]:
    names = [head.name for head in heads]
    asked = dict(phase.head_weights or {})
    classes = dict(phase.class_weights) if isinstance(phase.class_weights, Mapping) else {}
    for argument, given in (("head_weights", asked), ("class_weights", classes)):
        unknown = [name for name in given if name not in names]
        if unknown and (argument == "head_weights" or len(heads) > 1):
            raise ConfigError(
                f"`{argument}` must name heads of the model ({', '.join(map(repr, names))}). "
                f"Received: {unknown}.{did_you_mean(unknown[0], names)}"
            )
    return {name: float(asked.get(name, 1.0)) for name in names}
