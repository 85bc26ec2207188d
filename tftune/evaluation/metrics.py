"""Multiclass metrics, by scikit-learn, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.sparse import csr_matrix
from sklearn import metrics

from tftune.errors import DataError, ShapeError
from tftune.evaluation.bootstrap import (
    NUM_RESAMPLES,
    RankCurve,
    affordable_resamples,
    intervals_of,
    nan_mean,
)
from tftune.results.evaluation import Evaluation

RANKED = ("roc_auc", "average_precision")


def classification_evaluation(
    probabilities: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    split: str = "test",
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Compute an Evaluation from probabilities and true labels.

    Args:
        probabilities: float, shape (num_examples, num_classes); each row sums to 1.
        labels: int, shape (num_examples,), in [0, num_classes).
        class_names: one a column.
        split: a name for the report.
        num_resamples: bootstrap resamples behind each interval.
        seed: seeds the bootstrap.

    Returns:
        The evaluation; intervals are 95% percentile bootstrap intervals (Efron & Tibshirani 1993).

    Raises:
        ShapeError: if the shapes do not agree.
        DataError: if a probability is NaN or a label is no class.
    """
    labels = np.asarray(labels)
    num_classes = len(class_names)
    if probabilities.shape != (len(labels), num_classes):
        raise ShapeError(
            f"`probabilities` must have shape {(len(labels), num_classes)}. "
            f"Received shape: {probabilities.shape}."
        )
    check_finite(probabilities)
    if not len(labels) or labels.min() < 0 or labels.max() >= num_classes:
        raise DataError(f"`labels` must hold whole numbers in [0, {num_classes}), at least one.")
    predicted = probabilities.argmax(axis=1)
    values = _values(probabilities, labels)
    shares = np.bincount(labels, minlength=num_classes) / len(labels)
    baseline = _values(np.tile(shares, (len(labels), 1)), labels)
    per_class = _per_class(probabilities, labels, class_names)
    for name in RANKED:
        column = np.array([row[name] for row in per_class.values()])
        values[name] = float(np.nanmean(column)) if np.isfinite(column).any() else float("nan")
        baseline[name] = _chance(name, shares)
    counts = _Counts(probabilities, labels)
    intervals = intervals_of(values, counts, len(labels), num_resamples, seed)
    ranked = affordable_resamples(num_resamples, len(labels), num_classes)
    if ranked:
        ranks = _Ranks(probabilities, labels)
        intervals |= intervals_of(values, ranks, len(labels), ranked, seed)
    return Evaluation(
        split=split,
        num_examples=len(labels),
        metrics=values,
        intervals=intervals,
        baseline=baseline,
        per_class=per_class,
        confusion=metrics.confusion_matrix(labels, predicted, labels=range(num_classes)),
        class_names=tuple(class_names),
        notes=_notes(shares, class_names, left_out=num_resamples > 0 and not ranked),
    )


def cross_entropies(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return each example's negative log-likelihood in nats, float64, shape (num_examples,)."""
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    # A float32 softmax can give an exact 0; its own resolution is the honest floor.
    return -np.log(np.maximum(chosen, np.finfo(np.float32).tiny))


def brier_scores(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return each example's squared distance from certainty in its label, in [0, 2].

    References:
        Brier 1950, Verification of forecasts expressed in terms of probability.
    """
    squares = np.square(probabilities.astype(np.float64)).sum(axis=1)
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return squares - 2 * chosen + 1


def check_finite(answers: np.ndarray) -> None:
    """Raise DataError if an answer is NaN or infinite."""
    broken = ~np.isfinite(answers).all(axis=1)
    if broken.any():
        raise DataError(
            f"The answers hold NaN or infinity for {int(broken.sum())} of {len(answers)} examples "
            f"(the first is number {int(broken.argmax())}): the model's weights or inputs are "
            "broken."
        )


def counted_classes(num_classes: int) -> int:
    """Return the k of top-k accuracy: 5, or for fewer than ten classes half of them; 1 is none."""
    return min(5, num_classes // 2)


def _values(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return everything but the ranked metrics."""
    classes = range(probabilities.shape[1])
    predicted = probabilities.argmax(axis=1)
    present = np.bincount(labels, minlength=len(classes)) > 0
    recalls = metrics.recall_score(labels, predicted, labels=classes, average=None, zero_division=0)
    values = {
        "accuracy": float(metrics.accuracy_score(labels, predicted)),
        # scikit-learn's balanced accuracy, which warns of predicted classes without examples.
        "balanced_accuracy": float(recalls[present].mean()),
    }
    top = counted_classes(len(classes))
    if top > 1:
        values[f"top_{top}_accuracy"] = float(
            metrics.top_k_accuracy_score(labels, probabilities, k=top, labels=classes)
        )
    for average in ("macro", "weighted", "micro"):
        figures = metrics.precision_recall_fscore_support(
            labels, predicted, average=average, zero_division=0
        )
        # Averaged over examples, precision, recall and F1 are all the accuracy: once is enough.
        kept = ("f1",) if average == "micro" else ("precision", "recall", "f1")
        for name, value in zip(("precision", "recall", "f1"), figures[:3], strict=True):
            if name in kept:
                values[f"{average}_{name}"] = float(value)
    several = present.sum() > 1 or (predicted != labels).any()
    values |= {
        "loss": float(cross_entropies(probabilities, labels).mean()),
        "brier": float(brier_scores(probabilities, labels).mean()),
        "kappa": float(metrics.cohen_kappa_score(labels, predicted)) if several else float("nan"),
        "mcc": float(metrics.matthews_corrcoef(labels, predicted)) if several else float("nan"),
    }
    return values


def _per_class(
    probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> dict[str, dict[str, float]]:
    columns = metrics.precision_recall_fscore_support(
        labels, probabilities.argmax(axis=1), labels=range(len(class_names)), zero_division=0
    )
    per_class = {}
    for index, name in enumerate(class_names):
        positive = labels == index
        auc = precision = float("nan")
        if positive.any():
            precision = float(metrics.average_precision_score(positive, probabilities[:, index]))
            if not positive.all():
                auc = float(metrics.roc_auc_score(positive, probabilities[:, index]))
        figures = [float(column[index]) for column in columns[:3]]
        per_class[name] = {
            **dict(zip(("precision", "recall", "f1"), figures, strict=True)),
            "roc_auc": auc,
            "average_precision": precision,
            "support": int(columns[3][index]),
        }
    return per_class


def _chance(name: str, shares: np.ndarray) -> float:
    """Return what one answer to all scores: half the area, and a precision of the class's share."""
    if name == "roc_auc":
        return 0.5 if (shares > 0).sum() > 1 else float("nan")
    return float(shares[shares > 0].mean())


def _notes(shares: np.ndarray, class_names: Sequence[str], left_out: bool) -> tuple[str, ...]:
    notes = []
    if (shares > 0).sum() == 1:
        only = class_names[int(shares.argmax())]
        notes.append(
            f"Every example is {only!r}, so ROC AUC is undefined and no figure says how well the "
            "model tells classes apart."
        )
    absent = [name for name, share in zip(class_names, shares, strict=True) if not share]
    if absent and (shares > 0).sum() > 1:
        shown = ", ".join(map(repr, absent[:5])) + (" and others" if len(absent) > 5 else "")
        notes.append(f"No example is {shown}; such classes are left out of ranked averages.")
    if left_out:
        notes.append("Ranked metrics have no intervals: on so many examples they would take long.")
    return tuple(notes)


class _Counts:
    """Metrics of a confusion matrix and means over examples, on resamples."""

    def __init__(self, probabilities: np.ndarray, labels: np.ndarray) -> None:
        self._num_classes = num_classes = probabilities.shape[1]
        predicted = probabilities.argmax(axis=1)
        # Only the filled cells of the confusion matrix: with 1,000 classes most are empty.
        cells, cell_of = np.unique(labels * num_classes + predicted, return_inverse=True)
        true, guessed = cells // num_classes, cells % num_classes
        count = len(cells)
        self._cell = csr_matrix((np.ones(len(labels)), (np.arange(len(labels)), cell_of)))
        self._true = csr_matrix((np.ones(count), (range(count), true)), (count, num_classes))
        self._guessed = csr_matrix((np.ones(count), (range(count), guessed)), (count, num_classes))
        same = np.flatnonzero(true == guessed)
        self._right = csr_matrix((np.ones(len(same)), (same, true[same])), (count, num_classes))
        self._means = {
            "loss": cross_entropies(probabilities, labels),
            "brier": brier_scores(probabilities, labels),
        }
        top = counted_classes(num_classes)
        if top > 1:
            # Ties as scikit-learn breaks them: the last of equal columns comes first.
            order = np.argsort(probabilities, axis=1, kind="mergesort")[:, ::-1][:, :top]
            hits = (order == labels[:, None]).any(axis=1)
            self._means[f"top_{top}_accuracy"] = hits.astype(float)

    def __call__(self, weights: np.ndarray) -> Mapping[str, np.ndarray]:
        total = weights.shape[1]
        counts = weights @ self._cell
        true, guessed = counts @ self._true, counts @ self._guessed
        right = counts @ self._right
        hits = right.sum(axis=1)
        recall = right / np.maximum(true, 1)
        precision = right / np.maximum(guessed, 1)
        f1 = 2 * right / np.maximum(true + guessed, 1)
        seen = (true + guessed) > 0
        present = true > 0
        chance = (true * guessed).sum(axis=1)
        spread = np.sqrt(
            (total**2 - np.square(guessed).sum(axis=1)) * (total**2 - np.square(true).sum(axis=1))
        )
        figures = {
            "accuracy": hits / total,
            "micro_f1": hits / total,
            "balanced_accuracy": recall.sum(axis=1) / present.sum(axis=1),
        }
        for name, column in (("precision", precision), ("recall", recall), ("f1", f1)):
            figures[f"macro_{name}"] = column.sum(axis=1) / seen.sum(axis=1)
            figures[f"weighted_{name}"] = (column * true).sum(axis=1) / total
        with np.errstate(invalid="ignore", divide="ignore"):
            figures["kappa"] = (hits * total - chance) / (total**2 - chance)
            uncorrelated = np.where(total**2 > chance, 0.0, np.nan)
            figures["mcc"] = np.where(spread > 0, (hits * total - chance) / spread, uncorrelated)
        for name, values in self._means.items():
            figures[name] = weights @ values / total
        return figures


class _Ranks:
    """Ranked metrics, class against the rest, on resamples."""

    def __init__(self, probabilities: np.ndarray, labels: np.ndarray) -> None:
        self._curves = [
            RankCurve(probabilities[:, index], labels == index) for index in np.unique(labels)
        ]

    def __call__(self, weights: np.ndarray) -> Mapping[str, np.ndarray]:
        areas = [curve.areas(weights) for curve in self._curves]
        return {
            name: nan_mean([pair[place] for pair in areas]) for place, name in enumerate(RANKED)
        }
