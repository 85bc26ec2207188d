"""Metrics of heads with several labels an example, by scikit-learn, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn import metrics

from tftune.errors import DataError, ShapeError
from tftune.evaluation.bootstrap import (
    NUM_RESAMPLES,
    RankCurve,
    affordable_resamples,
    intervals_of,
    nan_mean,
)
from tftune.evaluation.metrics import check_finite
from tftune.results.evaluation import Evaluation

THRESHOLD = 0.5
_RANKED = ("mean_average_precision", "roc_auc")


def multilabel_evaluation(
    probabilities: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Compute an Evaluation of independent yes-or-no classes.

    Args:
        probabilities: float, shape (num_examples, num_classes), each in [0, 1].
        labels: 0, 1 or, where it is unknown, NaN or -1; of the same shape.
        class_names: one a column.
        num_resamples: bootstrap resamples behind each interval.
        seed: seeds the bootstrap.

    Returns:
        The evaluation. A class without a known positive has an average precision of NaN and is left
        out of the mean. The baseline always answers each class's own share.

    Raises:
        ShapeError: if the shapes do not agree.
        DataError: if an answer is NaN or no label is known.
    """
    labels = np.asarray(labels, np.float64)
    known = np.isfinite(labels) & (labels >= 0)
    check_pairs(probabilities, labels, known, class_names)
    true = known & (labels > 0.5)
    values = _values(probabilities, true, known)
    shares = true.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    baseline = _values(np.broadcast_to(shares, labels.shape), true, known)
    per_class = _per_class(probabilities, true, known, class_names)
    for name, column in zip(_RANKED, ("average_precision", "roc_auc"), strict=True):
        figures = np.array([row[column] for row in per_class.values()])
        defined = np.isfinite(figures)
        values[name] = float(figures[defined].mean()) if defined.any() else float("nan")
        chance = shares if column == "average_precision" else np.full(len(shares), 0.5)
        baseline[name] = float(chance[defined].mean()) if defined.any() else float("nan")
    counts = _Counts(probabilities, true, known)
    intervals = intervals_of(values, counts, len(labels), num_resamples, seed)
    ranked = affordable_resamples(num_resamples, len(labels), len(class_names))
    if ranked:
        ranks = _Ranks(probabilities, true, known)
        intervals |= intervals_of(values, ranks, len(labels), ranked, seed)
    return Evaluation(
        split="test",
        num_examples=int(known.any(axis=1).sum()),
        metrics=values,
        intervals=intervals,
        baseline=baseline,
        per_class=per_class,
        confusion=np.zeros((0, 0), int),
        class_names=tuple(class_names),
        task="multilabel",
    )


def check_pairs(
    answers: np.ndarray, labels: np.ndarray, known: np.ndarray, names: Sequence[str]
) -> None:
    """Raise an error unless answers and labels of one shape can be compared."""
    if answers.shape != labels.shape or answers.shape[1:] != (len(names),):
        raise ShapeError(
            f"Answers and labels must both have shape (num_examples, {len(names)}). "
            f"Received shapes: {answers.shape} and {labels.shape}."
        )
    check_finite(answers)
    if not known.any():
        raise DataError("No label is known; there is nothing to measure.")


def _losses(probabilities: np.ndarray, true: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the cross-entropy of each label in nats; 0 where it is unknown."""
    clipped = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
    return np.where(known, -np.log(np.where(true, clipped, 1 - clipped)), 0)


def _whole(guessed: np.ndarray, true: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Tell which examples have every known label right."""
    return ((guessed == true) | ~known).all(axis=1)


def _values(probabilities: np.ndarray, true: np.ndarray, known: np.ndarray) -> dict[str, float]:
    guessed = known & (probabilities > THRESHOLD)  # an unknown label counts for neither side
    values = {}
    for average in ("macro", "micro", "weighted"):
        figures = metrics.precision_recall_fscore_support(
            true.astype(int), guessed.astype(int), average=average, zero_division=0
        )
        for name, value in zip(("precision", "recall", "f1"), figures[:3], strict=True):
            values[f"{average}_{name}"] = float(value)
    rows = known.any(axis=1)
    values["label_accuracy"] = float((guessed == true)[known].mean())
    values["subset_accuracy"] = float(_whole(guessed, true, known)[rows].mean())
    values["loss"] = float(_losses(probabilities, true, known).sum() / known.sum())
    values["brier"] = float(np.square(probabilities - true)[known].mean())
    return values


def _per_class(
    probabilities: np.ndarray, true: np.ndarray, known: np.ndarray, class_names: Sequence[str]
) -> dict[str, dict[str, float]]:
    per_class = {}
    for index, name in enumerate(class_names):
        rows = known[:, index]
        positive, scores = true[rows, index], probabilities[rows, index]
        figures = metrics.precision_recall_fscore_support(
            positive, scores > THRESHOLD, average="binary", zero_division=0
        )
        auc = precise = float("nan")
        if positive.any():
            precise = float(metrics.average_precision_score(positive, scores))
            if not positive.all():
                auc = float(metrics.roc_auc_score(positive, scores))
        per_class[name] = {
            "precision": float(figures[0]),
            "recall": float(figures[1]),
            "f1": float(figures[2]),
            "roc_auc": auc,
            "average_precision": precise,
            "support": int(positive.sum()),
        }
    return per_class


class _Counts:
    """Metrics of counts and means, on resamples."""

    def __init__(self, probabilities: np.ndarray, true: np.ndarray, known: np.ndarray) -> None:
        guessed = known & (probabilities > THRESHOLD)
        self._true, self._guessed, self._both = (
            array.astype(float) for array in (true, guessed, true & guessed)
        )
        rows = known.any(axis=1)
        self._rows = rows.astype(float)
        self._known = known.sum(axis=1).astype(float)
        self._right = (((guessed == true) & known).sum(axis=1)).astype(float)
        self._whole = (_whole(guessed, true, known) & rows).astype(float)
        self._losses = _losses(probabilities, true, known).sum(axis=1)
        self._brier = np.where(known, np.square(probabilities - true), 0).sum(axis=1)

    def __call__(self, weights: np.ndarray) -> Mapping[str, np.ndarray]:
        true, guessed, both = (weights @ part for part in (self._true, self._guessed, self._both))
        precision = both / np.maximum(guessed, 1)
        recall = both / np.maximum(true, 1)
        f1 = 2 * both / np.maximum(true + guessed, 1)
        figures = {}
        for name, column in (("precision", precision), ("recall", recall), ("f1", f1)):
            figures[f"macro_{name}"] = column.mean(axis=1)
            share = true / np.maximum(true.sum(axis=1, keepdims=True), 1)
            figures[f"weighted_{name}"] = (column * share).sum(axis=1)
        all_true, all_guessed, all_both = (part.sum(axis=1) for part in (true, guessed, both))
        figures["micro_precision"] = all_both / np.maximum(all_guessed, 1)
        figures["micro_recall"] = all_both / np.maximum(all_true, 1)
        figures["micro_f1"] = 2 * all_both / np.maximum(all_true + all_guessed, 1)
        with np.errstate(invalid="ignore"):
            for name, total, part in (
                ("label_accuracy", self._known, self._right),
                ("subset_accuracy", self._rows, self._whole),
                ("loss", self._known, self._losses),
                ("brier", self._known, self._brier),
            ):
                figures[name] = (weights @ part) / (weights @ total)
        return figures


class _Ranks:
    """Ranked metrics on resamples."""

    def __init__(self, probabilities: np.ndarray, true: np.ndarray, known: np.ndarray) -> None:
        self._curves = [
            RankCurve(probabilities[:, index], true[:, index], known[:, index])
            for index in range(true.shape[1])
            if true[:, index].any()
        ]

    def __call__(self, weights: np.ndarray) -> Mapping[str, np.ndarray]:
        areas = [curve.areas(weights) for curve in self._curves]
        if not areas:
            return {}
        aucs, precise = zip(*areas, strict=True)
        return {"mean_average_precision": nan_mean(list(precise)), "roc_auc": nan_mean(list(aucs))}
