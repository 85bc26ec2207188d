"""Metrics of multilabel and regression heads, by scikit-learn, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from sklearn import metrics

from tftune.errors import DataError, ShapeError
from tftune.results.evaluation import Evaluation, Interval

_THRESHOLD = 0.5


def multilabel_evaluation(
    probabilities: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    num_resamples: int = 1000,
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
        out of the mean.

    Raises:
        ShapeError: if the shapes do not agree.
        DataError: if an answer is NaN or no label is known.
    """
    labels = np.asarray(labels, np.float64)
    known = np.isfinite(labels) & (labels >= 0)
    _check(probabilities, labels, known, class_names)
    true = known & (labels > 0.5)
    guessed = known & (probabilities > _THRESHOLD)
    per_class = {}
    for index, name in enumerate(class_names):
        rows = known[:, index]
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            true[rows, index], guessed[rows, index], average="binary", zero_division=0
        )
        positives = int(true[:, index].sum())
        average_precision = (
            metrics.average_precision_score(true[rows, index], probabilities[rows, index])
            if positives
            else np.nan
        )
        per_class[name] = {
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
            "average_precision": float(average_precision),
            "support": positives,
        }
    averages = [row["average_precision"] for row in per_class.values()]
    clipped = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
    losses = np.where(known, -np.log(np.where(true, clipped, 1 - clipped)), np.nan)

    def measure(chosen: np.ndarray) -> dict[str, float]:
        both = (true[chosen] & guessed[chosen]).sum(axis=0)
        either = true[chosen].sum(axis=0) + guessed[chosen].sum(axis=0)
        f1s = 2 * both / np.maximum(either, 1)
        return {
            "macro_f1": float(f1s.mean()),
            "micro_f1": float(2 * both.sum() / max(either.sum(), 1)),
            "loss": float(np.nanmean(losses[chosen])),
        }

    values, intervals = _bootstrap(measure, len(labels), num_resamples, seed)
    scores = np.array(averages)[np.isfinite(averages)]
    values["mean_average_precision"] = float(scores.mean()) if len(scores) else float("nan")
    return _evaluation("multilabel", values, intervals, per_class, known, class_names)


def regression_evaluation(
    predictions: np.ndarray,
    targets: np.ndarray,
    names: Sequence[str],
    num_resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Compute an Evaluation of predicted quantities.

    Args:
        predictions: float, shape (num_examples, num_quantities), in the targets' own units.
        targets: of the same shape; NaN where a value is unknown.
        names: one a column.
        num_resamples: bootstrap resamples behind each interval.
        seed: seeds the bootstrap.

    Returns:
        The evaluation. Figures over several quantities are the plain mean of each one's.

    Raises:
        ShapeError: if the shapes do not agree.
        DataError: if an answer is NaN or a quantity has no known value.
    """
    targets = np.asarray(targets, np.float64)
    known = np.isfinite(targets)
    _check(predictions, targets, known, names)
    if not known.any(axis=0).all():
        empty = [name for name, column in zip(names, known.T, strict=True) if not column.any()]
        raise DataError(f"No example has a known value of {empty}.")
    predicted = predictions.astype(np.float64)
    per_class = {}
    for index, name in enumerate(names):
        rows = known[:, index]
        y, guess = targets[rows, index], predicted[rows, index]
        per_class[name] = {
            "mae": float(metrics.mean_absolute_error(y, guess)),
            "rmse": float(np.sqrt(metrics.mean_squared_error(y, guess))),
            "r2": float(metrics.r2_score(y, guess)) if len(y) > 1 else float("nan"),
            "support": int(rows.sum()),
        }
    errors = np.where(known, predicted - targets, np.nan)

    def measure(chosen: np.ndarray) -> dict[str, float]:
        picked, y = errors[chosen], targets[chosen]
        present = np.isfinite(picked).any(axis=0)  # a resample may miss a rarely known quantity
        picked, y = picked[:, present], y[:, present]
        squares = np.nansum(picked**2, axis=0)
        spread = np.nansum((y - np.nanmean(y, axis=0)) ** 2, axis=0)
        return {
            "mae": float(np.nanmean(np.abs(picked), axis=0).mean()),
            "rmse": float(np.sqrt(np.nanmean(picked**2, axis=0)).mean()),
            "r2": float((1 - squares / np.where(spread > 0, spread, np.nan)).mean()),
        }

    values, intervals = _bootstrap(measure, len(targets), num_resamples, seed)
    return _evaluation("regression", values, intervals, per_class, known, names)


def _check(
    answers: np.ndarray, labels: np.ndarray, known: np.ndarray, names: Sequence[str]
) -> None:
    if answers.shape != labels.shape or answers.shape[1:] != (len(names),):
        raise ShapeError(
            f"Answers and labels must both have shape (num_examples, {len(names)}). "
            f"Received shapes: {answers.shape} and {labels.shape}."
        )
    if np.isnan(answers).any():
        raise DataError("The answers hold NaN: the model's weights or inputs are broken.")
    if not known.any():
        raise DataError("No label is known; there is nothing to measure.")


def _bootstrap(
    measure: Callable[[np.ndarray], dict[str, float]], count: int, num_resamples: int, seed: int
) -> tuple[dict[str, float], dict[str, Interval]]:
    values = measure(np.arange(count))
    generator = np.random.default_rng(seed)
    samples = [measure(generator.integers(0, count, count)) for _ in range(num_resamples)]
    intervals = {}
    for name, value in values.items():
        column = np.array([sample[name] for sample in samples])
        column = column[np.isfinite(column)]
        ends = np.quantile(column, [0.025, 0.975]).tolist() if len(column) else [value, value]
        intervals[name] = Interval(value, *ends)
    return values, intervals


def _evaluation(
    task: str,
    values: Mapping[str, float],
    intervals: Mapping[str, Interval],
    per_class: Mapping[str, Mapping[str, float]],
    known: np.ndarray,
    names: Sequence[str],
) -> Evaluation:
    return Evaluation(
        split="test",
        num_examples=int(known.any(axis=1).sum()),
        metrics=values,
        intervals=intervals,
        baseline_accuracy=float("nan"),
        per_class=per_class,
        confusion=np.zeros((0, 0), int),
        class_names=tuple(names),
        task=task,
    )
