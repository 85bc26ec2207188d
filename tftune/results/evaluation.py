"""Evaluation: how good a model is on a split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tftune.display import Displayed, Table
from tftune.errors import ConfigError
from tftune.results.calibration import Calibration
from tftune.results.predictions import Predictions
from tftune.results.thresholds import (
    CoverageCurve,
    Thresholds,
    coverage_curve,
    precision_thresholds,
)

_BASELINES = {
    "multiclass": "answering the shares of the classes, so the most frequent one",
    "multilabel": "answering each label's own share",
    "regression": "answering the mean",
    "tags": "answering O, which finds no entity",
}
_HEADINGS = {
    "average_precision": "AP",
    "roc_auc": "AUC",
    "median_error": "median",
    "p90_error": "p90",
    "p95_error": "p95",
}


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
        metrics: by name. Multiclass: accuracy, balanced_accuracy, top_k_accuracy (k of 5, or half
            the classes), precision, recall and F1 (macro_, weighted_; micro_f1, since all three
            are then the accuracy), loss (log loss: mean cross-entropy in nats), brier (in [0, 2]),
            kappa (Cohen's), mcc (Matthews' correlation), and roc_auc and average_precision, each
            class against the rest, averaged over classes. Multilabel, at a threshold of 0.5:
            precision, recall and F1 (macro_, micro_, weighted_), label_accuracy, subset_accuracy,
            loss, brier, mean_average_precision and roc_auc. Regression, in its own units: mae,
            rmse, r2 and quantiles of the absolute error (median_error, p90_error, p95_error),
            each the mean over the quantities. Tags: entity_f1, entity_precision and entity_recall
            over whole entities, macro_f1 over their types, word_accuracy. NaN where the examples do
            not define one.
        intervals: 95% bootstrap intervals of these metrics.
        baseline: the same metrics of always giving the one answer that says nothing about the
            example: the shares of the classes in the split; for regression the mean.
        per_class: for each class: precision, recall, f1, roc_auc, average_precision and support;
            for each quantity of a regression: the metrics above and support.
        confusion: int, shape (num_classes, num_classes); rows are true classes; of shape (0, 0)
            unless multiclass.
        class_names: the meaning of rows and columns.
        task: "multiclass", "multilabel", "regression" or "tags".
        head: which head was measured.
        others: the evaluations of the model's other heads.
        notes: what the reader should know, one sentence each.
        predictions: the answers that were measured, one row an example; None where it was made
            from figures alone.
        calibration: whether its probabilities mean what they say; None for a regression.
    """

    split: str
    num_examples: int
    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]
    baseline: Mapping[str, float]
    per_class: Mapping[str, Mapping[str, float]]
    confusion: np.ndarray
    class_names: tuple[str, ...]
    task: str = "multiclass"
    head: str = "label"
    others: tuple[Evaluation, ...] = ()
    notes: tuple[str, ...] = ()
    predictions: Predictions | None = None
    calibration: Calibration | None = None

    @property
    def headline(self) -> str:
        """The metric that sums the head up: "accuracy", "macro_f1", "entity_f1" or "rmse"."""
        headlines = {"multiclass": "accuracy", "multilabel": "macro_f1", "tags": "entity_f1"}
        return headlines.get(self.task, "rmse")

    @property
    def accuracy(self) -> float:
        """Share of examples whose most probable class is the true one (multiclass)."""
        return self.metrics["accuracy"]

    @property
    def baseline_accuracy(self) -> float:
        """The accuracy of always answering the split's most frequent class (multiclass)."""
        return self.baseline["accuracy"]

    def threshold(self, precision: float = 0.95) -> Thresholds:
        """Find for each class the probability from which on its answers are right often enough.

        Args:
            precision: the share of answers that must be right, in (0, 1].

        Returns:
            A threshold by class; `thresholds.decide(model.predict(image))` answers or abstains.
            They are found on these very examples, so choose them on validation.

        Raises:
            ConfigError: if the head answers no classes, or `precision` is not in (0, 1].
        """
        known = self._answers("threshold", ("multiclass", "multilabel"))
        return precision_thresholds(known, self.class_names, self.task, precision)

    def coverage(self) -> CoverageCurve:
        """Return how accurate the model is on the share of examples it is surest about.

        Raises:
            ConfigError: if the head is not multiclass.
        """
        return coverage_curve(self._answers("coverage", ("multiclass",)))

    def _answers(self, asking: str, tasks: tuple[str, ...]) -> Predictions:
        if self.task not in tasks or self.predictions is None:
            lacks = "no predictions" if self.predictions is None else f"a {self.task} head"
            raise ConfigError(
                f"`{asking}` needs the predictions of a {' or '.join(tasks)} head. "
                f"This evaluation has {lacks}."
            )
        return self.predictions

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary, without the predictions."""
        return {
            "split": self.split,
            "num_examples": self.num_examples,
            "metrics": _finite(self.metrics),
            "intervals": {name: asdict(interval) for name, interval in self.intervals.items()},
            "baseline": _finite(self.baseline),
            "per_class": {name: _finite(row) for name, row in self.per_class.items()},
            "confusion": self.confusion.tolist(),
            "class_names": list(self.class_names),
            "task": self.task,
            "head": self.head,
            "others": [other.to_json() for other in self.others],
            "notes": list(self.notes),
            "calibration": None if self.calibration is None else self.calibration.to_json(),
        }

    @classmethod
    def from_json(
        cls, values: Mapping[str, Any], predictions: Predictions | None = None
    ) -> Evaluation:
        """Read what `to_json` wrote.

        Args:
            values: the dictionary.
            predictions: those it was made from, where they were kept.
        """
        fields = dict(values)
        return cls(
            **{
                **fields,
                "metrics": _numbers(fields["metrics"]),
                "baseline": _numbers(fields["baseline"]),
                "intervals": {n: Interval(**i) for n, i in fields["intervals"].items()},
                "per_class": {n: _numbers(row) for n, row in fields["per_class"].items()},
                "confusion": np.array(fields["confusion"], int).reshape(
                    (len(fields["class_names"]),) * 2 if fields["confusion"] else (0, 0)
                ),
                "class_names": tuple(fields["class_names"]),
                "others": tuple(cls.from_json(other) for other in fields["others"]),
                "notes": tuple(fields["notes"]),
                "predictions": predictions,
                "calibration": Calibration.from_json(fields["calibration"])
                if fields.get("calibration")
                else None,
            }
        )

    def sections(self) -> list[str | Table]:
        """Show the figures with their intervals and the baseline, then each class."""
        which = f" of {self.head!r}" if self.others or self.head != "label" else ""
        title = f"Evaluation{which} on {self.split}: {self.num_examples} examples"
        columns = [key for key in next(iter(self.per_class.values()), {}) if key != "support"]
        rows = [
            (name, *(_shown(row[key]) for key in columns), int(row["support"]))
            for name, row in self.per_class.items()
        ]
        kind = {"regression": "quantity", "tags": "entity"}.get(self.task, "class")
        shown: list[str | Table] = [
            Table(("metric", "value", "95% interval", "baseline"), self.rows(), title=title),
            f"Baseline: always {_BASELINES[self.task]}.",
            Table((kind, *(_HEADINGS.get(key, key) for key in columns), "examples"), rows),
            *([self.calibration.sentence] if self.calibration else []),
            *self.notes,
        ]
        for other in self.others:
            shown.extend(other.sections())
        return shown

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Return each metric's name, value, interval and baseline as text."""
        found = []
        for name, value in self.metrics.items():
            interval = self.intervals.get(name)
            ends = f"{interval.low:.3f} to {interval.high:.3f}" if interval else ""
            named = name.replace("_", " ")
            found.append((named, _shown(value), ends, _shown(self.baseline.get(name, np.nan))))
        return found

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

        few = len(self.class_names) <= 40  # more numbers than that cannot be read
        side = max(4.0, (0.5 if few else 0.16) * len(self.class_names) + 2)
        figure = Figure(figsize=(side, side), layout="constrained")
        axes = figure.subplots()
        display = ConfusionMatrixDisplay(self.confusion, display_labels=self.class_names)
        display.plot(
            ax=axes,
            cmap="Blues",
            colorbar=not few,
            include_values=few,
            xticks_rotation="vertical",
        )
        axes.set(xlabel="predicted class", ylabel="true class")
        axes.set_title(f"{self.split}: accuracy {self.intervals['accuracy']}")
        return figure


def _shown(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else ""


def _numbers(row: Mapping[str, float | None]) -> dict[str, float]:
    return {name: float("nan") if value is None else value for name, value in row.items()}


def _finite(row: Mapping[str, float]) -> dict[str, float | None]:
    # JSON has no NaN, which stands for a figure that the examples do not give.
    return {name: value if np.isfinite(value) else None for name, value in row.items()}
