"""A linear model of quantities on cached features."""

from __future__ import annotations

import contextlib

import numpy as np
from sklearn.linear_model import RidgeCV
from threadpoolctl import threadpool_limits

from tftune.training.probe import SMALL, Linear

_STRENGTHS = np.logspace(-3, 5, 17)
_FEWEST = 3


def fit_ridge(features: np.ndarray, values: np.ndarray) -> Linear:
    """Fit a ridge regression to each quantity, with the strength that leaves one out best.

    Args:
        features: shape (num_examples, num_features).
        values: shape (num_examples, num_quantities); NaN where a value is unknown.

    Returns:
        Kernel, shape (num_features, num_quantities), and bias, shape (num_quantities,), float32. A
        quantity with fewer than three known values gets their mean (0 without any).

    References:
        Golub, Heath and Wahba 1979, https://doi.org/10.1080/00401706.1979.10489751: the error of
        leaving each example out, from one decomposition.
    """
    kernel = np.zeros((features.shape[1], values.shape[1]), np.float32)
    bias = np.zeros(values.shape[1], np.float32)
    small = features.size < SMALL
    with threadpool_limits(limits=1) if small else contextlib.nullcontext():
        for column, quantity in enumerate(values.T):
            known = np.isfinite(quantity)
            if known.sum() < _FEWEST:
                bias[column] = quantity[known].mean() if known.any() else 0.0
                continue
            fitted = RidgeCV(_STRENGTHS).fit(features[known].astype(np.float64), quantity[known])
            kernel[:, column], bias[column] = fitted.coef_, fitted.intercept_
    return kernel, bias
