"""Comparing two sets of answers to the same examples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest

from tftune.evaluation.bootstrap import interval, resample_weights
from tftune.results.evaluation import Interval

SURE = 0.05
_RESAMPLES = 2000


def mcnemar(before: np.ndarray, after: np.ndarray) -> float:
    """Test whether two models are right equally often on the same examples.

    Args:
        before: 1 where the one is right, else 0, shape (num_examples,).
        after: the same of the other.

    Returns:
        The p-value of the exact two-sided test; 1 where they never differ.

    References:
        McNemar 1947, https://doi.org/10.1007/BF02295996.
    """
    gained = int((after > before).sum())
    lost = int((after < before).sum())
    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def mean_intervals(
    columns: Sequence[np.ndarray], num_resamples: int = _RESAMPLES, seed: int = 0
) -> list[Interval]:
    """Put intervals around means over the same examples, from the same resamples.

    Args:
        columns: each float, shape (num_examples,); for a paired comparison, differences.
        num_resamples: how many resamples to draw.
        seed: seeds the draws.

    Returns:
        A 95% percentile bootstrap interval for each column's mean.
    """
    values = np.stack(columns, axis=1).astype(float)
    count = len(values)
    samples = np.concatenate(
        [weights @ values / count for weights in resample_weights(count, num_resamples, seed)]
    )
    return [interval(v.mean(), s) for v, s in zip(values.T, samples.T, strict=True)]


def excludes_zero(difference: Interval) -> bool:
    """Tell whether an interval holds differences of one sign only."""
    return not difference.low <= 0 <= difference.high
