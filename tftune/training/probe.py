"""Starting the head from a logistic regression on the cached features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

_REGULARISATIONS = (0.01, 0.1, 1.0, 10.0, 100.0)


@dataclass(frozen=True)
class Probe:
    """A linear classifier on pooled features.

    Attributes:
        kernel: float32, shape (num_features, num_classes).
        bias: float32, shape (num_classes,).
        regularisation: the inverse strength C that validated best.
        validation_accuracy: its accuracy on the validation features.
    """

    kernel: np.ndarray
    bias: np.ndarray
    regularisation: float
    validation_accuracy: float


def fit_probe(
    features: np.ndarray,
    labels: np.ndarray,
    validation_features: np.ndarray,
    validation_labels: np.ndarray,
    num_classes: int,
) -> Probe:
    """Fit multinomial logistic regressions and keep the one that validates best.

    Args:
        features: shape (num_examples, num_features).
        labels: int, shape (num_examples,); every class must be present.
        validation_features: shape (num_validation, num_features).
        validation_labels: int, shape (num_validation,).
        num_classes: how many classes the head has.

    Returns:
        The probe with the lowest validation cross-entropy.

    References:
        Kumar et al. 2022, https://arxiv.org/abs/2202.10054: a head fitted before fine-tuning
        keeps the features from being distorted.
    """
    best: tuple[float, Probe] | None = None
    # BLAS threads that wait for one another cost more than such small products: on two busy cores
    # this fit took a hundred times longer with them.
    with threadpool_limits(limits=1):
        mean, basis = _principal_axes(features)
        rotated = (features - mean) @ basis
        rotated_validation = (validation_features - mean) @ basis
        for regularisation in _REGULARISATIONS:
            fitted = LogisticRegression(C=regularisation, max_iter=500).fit(rotated, labels)
            log_probabilities = fitted.predict_log_proba(rotated_validation)
            loss = -log_probabilities[np.arange(len(validation_labels)), validation_labels].mean()
            if best is None or loss < best[0]:
                accuracy = float(fitted.score(rotated_validation, validation_labels))
                coefficients = fitted.coef_ @ basis.T
                intercepts = fitted.intercept_ - coefficients @ mean
                kernel, bias = _as_softmax(coefficients, intercepts, num_classes)
                best = (loss, Probe(kernel, bias, regularisation, accuracy))
    assert best is not None
    return best[1]


def _principal_axes(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the features' mean and an orthonormal basis of what they span around it.

    An L2-penalised linear model has no weight outside that span (the representer theorem), and the
    penalty does not change under rotation, so fitting in the basis gives the same model with fewer,
    uncorrelated coordinates.
    """
    mean = features.mean(axis=0, dtype=np.float64)
    _, _, axes = np.linalg.svd(features - mean, full_matrices=False)
    return mean, axes.T


def _as_softmax(
    coefficients: np.ndarray, intercepts: np.ndarray, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    if num_classes == 2:
        # scikit-learn gives one sigmoid; the softmax of (-z/2, z/2) is the same function.
        coefficients = np.concatenate([-coefficients / 2, coefficients / 2])
        intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
    return coefficients.T.astype(np.float32), intercepts.astype(np.float32)
