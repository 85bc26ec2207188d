"""Percentile bootstrap intervals, vectorised over resamples.

A resample is a row of weights: how often each example was drawn. Every figure is then a function of
weighted sums, and a thousand resamples are a few matrix products instead of a thousand loops.

Examples are drawn alone, not within their class: how many of each class a split holds is chance
too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from tftune.results.evaluation import Interval

LEVEL = 0.95
NUM_RESAMPLES = 1000
_NUMBERS_AT_ONCE = 2_000_000

Sample = Callable[[np.ndarray], Mapping[str, np.ndarray]]
"""From weights, shape (num_resamples, num_examples), to figures of shape (num_resamples,)."""


def resample_weights(
    num_examples: int, num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> Iterator[np.ndarray]:
    """Draw resamples with replacement.

    Args:
        num_examples: examples in the sample.
        num_resamples: how many resamples to draw in all.
        seed: seeds the draws.

    Yields:
        float64, shape (some resamples, num_examples): how often each example was drawn.
    """
    generator = np.random.default_rng(seed)
    at_once = max(1, _NUMBERS_AT_ONCE // num_examples)
    for start in range(0, num_resamples, at_once):
        count = min(at_once, num_resamples - start)
        drawn = generator.integers(0, num_examples, (count, num_examples))
        drawn += np.arange(count)[:, None] * num_examples
        counts = np.bincount(drawn.ravel(), minlength=count * num_examples)
        yield counts.reshape(count, num_examples).astype(np.float64)


def intervals_of(
    values: Mapping[str, float],
    sample: Sample,
    num_examples: int,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> dict[str, Interval]:
    """Put intervals around figures.

    Args:
        values: the figures of the whole sample.
        sample: computes some of the same figures on resamples.
        num_examples: examples in the sample.
        num_resamples: how many resamples to draw.
        seed: seeds the draws.

    Returns:
        95% percentile intervals by name, for finite figures that `sample` computes. Resamples on
        which a figure is not defined are left out of its interval.

    References:
        Efron & Tibshirani 1993, An Introduction to the Bootstrap, section 13.3.
    """
    drawn: dict[str, list[np.ndarray]] = {}
    if num_resamples:
        for weights in resample_weights(num_examples, num_resamples, seed):
            for name, column in sample(weights).items():
                drawn.setdefault(name, []).append(column)
    found = {}
    for name, columns in drawn.items():
        samples = np.concatenate(columns)
        samples = samples[np.isfinite(samples)]
        if len(samples) and np.isfinite(values[name]):
            found[name] = interval(values[name], samples)
    return found


def interval(value: float, samples: np.ndarray) -> Interval:
    """Return a figure with the 95% percentile interval of its resamples, shape (num_resamples,)."""
    low, high = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    return Interval(float(value), low, high, LEVEL)


class RankCurve:
    """ROC AUC and average precision of one class on resamples, with scores sorted once.

    Args:
        scores: float, shape (num_examples,), higher for the class.
        positive: bool, shape (num_examples,).
        known: which examples count, bool; all if None.
    """

    def __init__(
        self, scores: np.ndarray, positive: np.ndarray, known: np.ndarray | None = None
    ) -> None:
        kept = np.arange(len(scores)) if known is None else np.flatnonzero(known)
        self._order = kept[np.argsort(-scores[kept], kind="stable")]
        ordered = scores[self._order]
        # Equal scores are one threshold: only the end of each run is a point of the curve.
        self._ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
        self._positive = positive[self._order]

    def areas(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return ROC AUC and average precision, each of shape (num_resamples,); NaN if undefined.

        Args:
            weights: shape (num_resamples, num_examples).
        """
        sorted_weights = weights[:, self._order]
        hits = np.cumsum(sorted_weights * self._positive, axis=1)[:, self._ends]
        drawn = np.cumsum(sorted_weights, axis=1)[:, self._ends]
        misses = drawn - hits
        none = np.zeros((len(weights), 1))
        new_hits = np.diff(hits, axis=1, prepend=none)
        new_misses = np.diff(misses, axis=1, prepend=none)
        positives, negatives = hits[:, -1], misses[:, -1]
        under = ((hits - new_hits / 2) * new_misses).sum(axis=1)
        precise = (new_hits * hits / np.maximum(drawn, 1)).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            auc = np.where(negatives > 0, under / (positives * negatives), np.nan)
            return auc, np.where(positives > 0, precise / positives, np.nan)


def affordable_resamples(num_resamples: int, num_examples: int, num_classes: int) -> int:
    """Say how many resamples of ranked figures to draw, so that they take seconds at most.

    Returns:
        At most `num_resamples`; 0 where fewer than 200 would be affordable, for so few say little
        about the ends of an interval.
    """
    budget = 300_000_000
    affordable = budget // max(1, num_examples * num_classes)
    if affordable < min(200, num_resamples):
        return 0
    return min(num_resamples, affordable)


def nan_mean(columns: list[np.ndarray]) -> np.ndarray:
    """Average arrays of shape (num_resamples,) over a list, leaving NaN out."""
    stacked = np.stack(columns)
    known = np.isfinite(stacked)
    with np.errstate(invalid="ignore"):
        return np.where(known, stacked, 0).sum(axis=0) / known.sum(axis=0)
