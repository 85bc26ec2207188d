"""Evaluation: how good a model is on a split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tftune.display import Displayed, Table


@dataclass(frozen=True)
class Interval:
    """An estimate with a confidence interval.

    Attributes:
        value: the estimate.
        low: lower end.
        high: upper end.
        level: the interval's nominal coverage, in (0, 1).
    """

    value: float
    low: float
    high: float
    level: float = 0.95

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True, eq=False)
class Evaluation(Displayed):
    """Metrics of a classifier on one split.

    Attributes:
        split: the split's name.
        num_examples: how many examples were classified.
        metrics: by name: "accuracy", "macro_f1" and "loss" (mean cross-entropy in nats).
        intervals: 95% bootstrap intervals of the same metrics.
        baseline_accuracy: the accuracy of always answering the split's most frequent class.
        per_class: for each class: precision, recall, f1 and support.
        confusion: int, shape (num_classes, num_classes); rows are true classes.
        class_names: the meaning of rows and columns.
    """

    split: str
    num_examples: int
    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]
    baseline_accuracy: float
    per_class: Mapping[str, Mapping[str, float]]
    confusion: np.ndarray
    class_names: tuple[str, ...]

    @property
    def accuracy(self) -> float:
        """Share of examples whose most probable class is the true one."""
        return self.metrics["accuracy"]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {
            "split": self.split,
            "num_examples": self.num_examples,
            "metrics": dict(self.metrics),
            "intervals": {name: asdict(interval) for name, interval in self.intervals.items()},
            "baseline_accuracy": self.baseline_accuracy,
            "per_class": {name: dict(row) for name, row in self.per_class.items()},
            "confusion": self.confusion.tolist(),
            "class_names": list(self.class_names),
        }

    def sections(self) -> list[str | Table]:
        """Show the headline figures with their intervals, then each class."""
        headline = [
            (name, f"{interval.value:.3f}", f"{interval.low:.3f} to {interval.high:.3f}")
            for name, interval in self.intervals.items()
        ]
        title = f"Evaluation on {self.split}: {self.num_examples} examples"
        classes = [
            (name, *(f"{row[key]:.3f}" for key in ("precision", "recall", "f1")), row["support"])
            for name, row in self.per_class.items()
        ]
        return [
            Table(("metric", "value", "95% interval"), headline, title=title),
            f"Always answering the most frequent class scores {self.baseline_accuracy:.3f}.",
            Table(("class", "precision", "recall", "f1", "examples"), classes),
        ]

    def plot(self) -> Any:
        """Draw the confusion matrix.

        Returns:
            A matplotlib Figure.
        """
        from matplotlib.figure import Figure
        from sklearn.metrics import ConfusionMatrixDisplay

        side = max(4.0, 0.5 * len(self.class_names) + 2)
        figure = Figure(figsize=(side, side), layout="constrained")
        axes = figure.subplots()
        display = ConfusionMatrixDisplay(self.confusion, display_labels=self.class_names)
        display.plot(ax=axes, cmap="Blues", colorbar=False, xticks_rotation="vertical")
        axes.set(xlabel="predicted class", ylabel="true class")
        axes.set_title(f"{self.split}: accuracy {self.intervals['accuracy']}")
        return figure
