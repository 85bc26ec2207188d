"""Evaluation: how good a model is on a split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tftune.display import Displayed, Table
from tftune.errors import ConfigError


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
    """Metrics of a model's head on one split.

    Attributes:
        split: the split's name.
        num_examples: how many examples with a known label were answered.
        metrics: by name; multiclass: "accuracy", "macro_f1" and "loss" (mean cross-entropy in
            nats); multilabel: "macro_f1", "micro_f1" (both at a threshold of 0.5),
            "mean_average_precision" and "loss"; regression, in its own units: "mae", "rmse"
            and "r2", each the mean over the quantities.
        intervals: 95% bootstrap intervals of these metrics; none for mean average precision.
        baseline_accuracy: multiclass: the accuracy of always answering the split's most frequent
            class; NaN otherwise.
        per_class: for each class: precision, recall, f1 and support (multilabel: and
            average_precision); for each quantity of a regression: mae, rmse, r2 and support.
        confusion: int, shape (num_classes, num_classes); rows are true classes; of shape (0, 0)
            unless multiclass.
        class_names: the meaning of rows and columns.
        task: "multiclass", "multilabel" or "regression".
        head: which head was measured.
        others: the evaluations of the model's other heads.
    """

    split: str
    num_examples: int
    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]
    baseline_accuracy: float
    per_class: Mapping[str, Mapping[str, float]]
    confusion: np.ndarray
    class_names: tuple[str, ...]
    task: str = "multiclass"
    head: str = "label"
    others: tuple[Evaluation, ...] = ()

    @property
    def headline(self) -> str:
        """The metric that sums the head up: "accuracy", "macro_f1" or "rmse"."""
        return {"multiclass": "accuracy", "multilabel": "macro_f1"}.get(self.task, "rmse")

    @property
    def accuracy(self) -> float:
        """Share of examples whose most probable class is the true one (multiclass)."""
        return self.metrics["accuracy"]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {
            "split": self.split,
            "num_examples": self.num_examples,
            "metrics": _finite(self.metrics),
            "intervals": {name: asdict(interval) for name, interval in self.intervals.items()},
            "baseline_accuracy": None if self.task != "multiclass" else self.baseline_accuracy,
            "per_class": {name: _finite(row) for name, row in self.per_class.items()},
            "confusion": self.confusion.tolist(),
            "class_names": list(self.class_names),
            "task": self.task,
            "head": self.head,
            "others": [other.to_json() for other in self.others],
        }

    def sections(self) -> list[str | Table]:
        """Show the headline figures with their intervals, then each class."""
        headline = []
        for name, value in self.metrics.items():
            interval = self.intervals.get(name)
            ends = f"{interval.low:.3f} to {interval.high:.3f}" if interval else ""
            headline.append((name, f"{value:.3f}", ends))
        which = f" of {self.head!r}" if self.others or self.head != "label" else ""
        title = f"Evaluation{which} on {self.split}: {self.num_examples} examples"
        columns = [key for key in next(iter(self.per_class.values()), {}) if key != "support"]
        rows = [
            (name, *(f"{row[key]:.3f}" for key in columns), int(row["support"]))
            for name, row in self.per_class.items()
        ]
        shown: list[str | Table] = [
            Table(("metric", "value", "95% interval"), headline, title=title)
        ]
        if self.task == "multiclass":
            shown.append(
                f"Always answering the most frequent class scores {self.baseline_accuracy:.3f}."
            )
        kind = "quantity" if self.task == "regression" else "class"
        headings = ["AP" if key == "average_precision" else key for key in columns]
        shown.append(Table((kind, *headings, "examples"), rows))
        for other in self.others:
            shown.extend(other.sections())
        return shown

    def plot(self) -> Any:
        """Draw the confusion matrix.

        Returns:
            A matplotlib Figure.

        Raises:
            ConfigError: if the head is not multiclass.
        """
        if self.task != "multiclass":
            raise ConfigError(f"`plot` draws confusion matrices. This is a {self.task} head.")
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


def _finite(row: Mapping[str, float]) -> dict[str, float | None]:
    # JSON has no NaN, which stands for a figure that the examples do not give.
    return {name: value if np.isfinite(value) else None for name, value in row.items()}
