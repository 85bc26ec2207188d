"""Metrics of predicted quantities, by scikit-learn, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn import metrics

from tftune.errors import DataError
from tftune.evaluation.bootstrap import NUM_RESAMPLES, intervals_of, nan_mean
from tftune.evaluation.multilabel_metrics import check_pairs
from tftune.results.evaluation import Evaluation

QUANTILES = {"median_error": 0.5, "p90_error": 0.9, "p95_error": 0.95}
"""Quantiles of the absolute error: the smallest error that so many examples do not exceed."""


def regression_evaluation(
    predictions: np.ndarray,
    targets: np.ndarray,
    names: Sequence[str],
    num_resamples: int = NUM_RESAMPLES,
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
        The evaluation. Figures over several quantities are the plain mean of each one's. The
        baseline always answers the mean.

    Raises:
        ShapeError: if the shapes do not agree.
        DataError: if an answer is NaN or a quantity has no known value.
    """
    targets = np.asarray(targets, np.float64)
    known = np.isfinite(targets)
    check_pairs(predictions, targets, known, names)
    if not known.any(axis=0).all():
        empty = [name for name, column in zip(names, known.T, strict=True) if not column.any()]
        raise DataError(f"No example has a known value of {empty}.")
    predicted = predictions.astype(np.float64)
    per_class = _per_quantity(predicted, targets, known, names)
    means = np.nanmean(targets, axis=0)
    constant = _per_quantity(np.broadcast_to(means, targets.shape), targets, known, names)
    figures = [name for name in next(iter(per_class.values())) if name != "support"]
    values, baseline = (
        {name: _mean([row[name] for row in table.values()]) for name in figures}
        for table in (per_class, constant)
    )
    return Evaluation(
        split="test",
        num_examples=int(known.any(axis=1).sum()),
        metrics=values,
        intervals=intervals_of(
            values, _Errors(predicted, targets, known), len(targets), num_resamples, seed
        ),
        baseline=baseline,
        per_class=per_class,
        confusion=np.zeros((0, 0), int),
        class_names=tuple(names),
        task="regression",
    )


def _mean(figures: list[float]) -> float:
    return float(np.mean(figures))


def _per_quantity(
    predicted: np.ndarray, targets: np.ndarray, known: np.ndarray, names: Sequence[str]
) -> dict[str, dict[str, float]]:
    found = {}
    for index, name in enumerate(names):
        rows = known[:, index]
        y, guess = targets[rows, index], predicted[rows, index]
        errors = np.abs(guess - y)
        found[name] = {
            "mae": float(metrics.mean_absolute_error(y, guess)),
            "rmse": float(np.sqrt(metrics.mean_squared_error(y, guess))),
            # With all values equal there is nothing to explain.
            "r2": float(metrics.r2_score(y, guess)) if np.ptp(y) > 0 else float("nan"),
            **{
                quantile: float(np.quantile(errors, share, method="inverted_cdf"))
                for quantile, share in QUANTILES.items()
            },
            "support": int(rows.sum()),
        }
    return found


class _Errors:
    """Metrics of errors on resamples."""

    def __init__(self, predicted: np.ndarray, targets: np.ndarray, known: np.ndarray) -> None:
        self._columns = []
        for index in range(targets.shape[1]):
            rows = np.flatnonzero(known[:, index])
            errors = np.abs(predicted[rows, index] - targets[rows, index])
            order = np.argsort(errors, kind="stable")
            # Centred, so that the spread is no difference of two large numbers.
            centred = targets[rows, index] - targets[rows, index].mean()
            self._columns.append((rows[order], errors[order], centred[order]))

    def __call__(self, weights: np.ndarray) -> Mapping[str, np.ndarray]:
        found: dict[str, list[np.ndarray]] = {}
        for rows, errors, centred in self._columns:
            drawn = weights[:, rows]
            total = drawn.sum(axis=1)
            with np.errstate(invalid="ignore", divide="ignore"):
                squares = drawn @ np.square(errors)
                spread = drawn @ np.square(centred) - np.square(drawn @ centred) / total
                # A resample of equal values has no spread; rounding must not make one.
                some = spread > 1e-9 * max(float(np.square(centred).sum()), 1e-300)
                figures = {
                    "mae": drawn @ errors / total,
                    "rmse": np.sqrt(squares / total),
                    "r2": np.where(some, 1 - squares / np.where(some, spread, 1), np.nan),
                }
            reached = np.cumsum(drawn, axis=1)
            for name, share in QUANTILES.items():
                # The first error that at least this share of the draws does not exceed.
                place = (reached < (share * total - 1e-9)[:, None]).sum(axis=1)
                at = errors[np.minimum(place, len(errors) - 1)]
                figures[name] = np.where(total > 0, at, np.nan)
            for name, column in figures.items():
                found.setdefault(name, []).append(column)
        # A resample may miss a rarely known quantity; it is then left out of the mean.
        return {name: nan_mean(columns) for name, columns in found.items()}
