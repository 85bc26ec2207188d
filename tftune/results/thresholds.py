"""Thresholds: when to trust an answer, and what is left unanswered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tftune.display import Displayed, Table
from tftune.errors import ConfigError
from tftune.results.predictions import Predictions

_MOST_STEPS = 600


@dataclass(frozen=True)
class Threshold:
    """From which probability on a class is right often enough.

    Attributes:
        value: the lowest such probability; None if there is none.
        precision: the share of answers of at least that probability that are right; NaN if none.
        low: lower end of a 95% Wilson interval around it: on new images expect no less than this.
        recall: the share of the class's examples that are then answered rightly.
        count: how many answers reach it.
    """

    value: float | None
    precision: float
    low: float
    recall: float
    count: int


@dataclass(frozen=True, eq=False)
class Thresholds(Displayed):
    """A threshold for each class.

    Attributes:
        wanted: the precision that was asked for.
        by_class: a threshold by class name.
        task: "multiclass" or "multilabel".
    """

    wanted: float
    by_class: Mapping[str, Threshold]
    task: str = "multiclass"

    def decide(self, answer: Mapping[str, float]) -> str | None | list[str]:
        """Turn an answer of `model.predict` into a decision.

        Args:
            answer: probabilities by class name.

        Returns:
            Multiclass: the most probable class, or None to abstain. Multilabel: the labels to
            trust.
        """
        trusted = [
            name
            for name, probability in answer.items()
            if (limit := self.by_class[name].value) is not None and probability >= limit
        ]
        if self.task == "multilabel":
            return trusted
        best = max(answer, key=lambda name: answer[name])
        return best if best in trusted else None

    def sections(self) -> list[str | Table]:
        """Show one row a class."""
        rows = [
            (
                name,
                "none" if t.value is None else f"{t.value:.3f}",
                "" if t.value is None else f"{t.precision:.3f}",
                "" if t.value is None else f"{t.low:.3f}",
                f"{t.recall:.3f}",
                t.count,
            )
            for name, t in self.by_class.items()
        ]
        columns = ("class", "threshold", "precision", "at least", "recall", "answers")
        return [Table(columns, rows, title=f"Thresholds for a precision of {self.wanted:g}")]


@dataclass(frozen=True, eq=False)
class CoverageCurve(Displayed):
    """How accurate a model is on the share of examples it is most confident about.

    Attributes:
        coverage: float, shape (num_points,): shares of the examples that are answered, rising.
        accuracy: of those answered, of the same shape.
        confidence: the threshold that gives each point.
    """

    coverage: np.ndarray
    accuracy: np.ndarray
    confidence: np.ndarray

    def at(self, accuracy: float) -> tuple[float, float]:
        """Find how much can be answered at some accuracy.

        Returns:
            The largest coverage at which at least this share is right, and its threshold;
            (0, infinity) if there is none.
        """
        enough = np.flatnonzero(self.accuracy >= accuracy)
        if not len(enough):
            return 0.0, float("inf")
        return float(self.coverage[enough[-1]]), float(self.confidence[enough[-1]])

    @property
    def risk_area(self) -> float:
        """The mean error over all coverages, in [0, 1]; lower is better.

        References:
            Geifman & El-Yaniv 2017, https://arxiv.org/abs/1705.08500.
        """
        return float(np.average(1 - self.accuracy, weights=np.diff(self.coverage, prepend=0)))

    def sections(self) -> list[str | Table]:
        """Show a few accuracies and what can be answered at each."""
        rows = []
        for accuracy in (0.9, 0.95, 0.98, 0.99, 1.0):
            coverage, threshold = self.at(accuracy)
            shown = f"{threshold:.3f}" if np.isfinite(threshold) else "never"
            rows.append((f"{accuracy:.2f}", f"{coverage:.3f}", shown))
        columns = ("accuracy at least", "answered", "above confidence")
        return [Table(columns, rows, title="Accuracy against coverage")]

    def plot(self) -> Any:
        """Draw accuracy over coverage.

        Returns:
            A matplotlib Figure.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5, 3.6), layout="constrained")
        axes = figure.subplots()
        # As many steps as can be seen: a drawing of each example would be large.
        last = len(self.coverage) - 1
        kept = np.unique(np.linspace(0, last, min(last + 1, _MOST_STEPS)).round().astype(int))
        axes.step(self.coverage[kept], self.accuracy[kept], where="pre", color="#0072b2")
        floor = float(self.accuracy.min())
        axes.set(
            xlabel="coverage (share of examples answered)",
            ylabel="accuracy (share that is right)",
            xlim=(0, 1),
            ylim=(max(0.0, floor - 0.05), 1.005),
        )
        return figure


def precision_thresholds(
    predictions: Predictions, class_names: tuple[str, ...], task: str, precision: float
) -> Thresholds:
    """Find the lowest threshold of each class that gives a precision.

    Args:
        predictions: answers of a classification head.
        class_names: the classes.
        task: "multiclass", where an answer is the most probable class, or "multilabel".
        precision: the share of answers that must be right, in (0, 1].

    Raises:
        ConfigError: if `precision` is not in (0, 1].
    """
    if not 0 < precision <= 1:
        raise ConfigError(f"`precision` must be in (0, 1]. Received: {precision!r}.")
    found = {}
    for index, name in enumerate(class_names):
        scores = predictions.outputs[:, index].astype(np.float64)
        if task == "multilabel":
            labels = predictions.labels[:, index]
            rows = np.isfinite(labels) & (labels >= 0)
            truth = labels > 0.5
            positives = int(truth[rows].sum())
        else:
            rows = predictions.predicted == index
            truth = predictions.labels == index
            positives = int(truth.sum())
        found[name] = _lowest(scores[rows], truth[rows], positives, precision)
    return Thresholds(precision, found, task)


def coverage_curve(predictions: Predictions) -> CoverageCurve:
    """Return accuracy against coverage for a multiclass head."""
    confidence = predictions.confidence.astype(np.float64)
    order = np.argsort(-confidence, kind="stable")
    ordered = confidence[order]
    right = (predictions.predicted == predictions.labels)[order]
    # Equal confidences are answered together or not at all.
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    answered = ends + 1
    accuracy = np.cumsum(right)[ends] / answered
    return CoverageCurve(answered / len(ordered), accuracy, ordered[ends])


def _lowest(scores: np.ndarray, truth: np.ndarray, positives: int, wanted: float) -> Threshold:
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    if not len(ordered):
        return Threshold(None, float("nan"), float("nan"), 0.0, 0)
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    hits = np.cumsum(truth[order])[ends]
    precision = hits / (ends + 1)
    enough = np.flatnonzero(precision >= wanted - 1e-12)
    if not len(enough):
        return Threshold(None, float("nan"), float("nan"), 0.0, 0)
    place = int(enough[-1])
    count = int(ends[place]) + 1
    return Threshold(
        value=float(ordered[ends[place]]),
        precision=float(precision[place]),
        low=_wilson_low(int(hits[place]), count),
        recall=float(hits[place] / positives) if positives else 0.0,
        count=count,
    )


def _wilson_low(hits: int, count: int, z: float = 1.959964) -> float:
    """Return the lower end of Wilson's interval (Wilson 1927) of a share."""
    share = hits / count
    centre = share + z * z / (2 * count)
    spread = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, float((centre - spread) / (1 + z * z / count)))
