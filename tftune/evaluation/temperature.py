"""The temperature that makes logits fit labels best."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_expit, log_softmax

from tftune.errors import DataError, ShapeError

_RANGE = (0.05, 20.0)


def fit_temperature(
    logits: np.ndarray,
    labels: np.ndarray,
    task: str = "multiclass",
    weights: np.ndarray | None = None,
    bounds: tuple[float, float] = _RANGE,
) -> float:
    """Find the temperature at which logits fit labels best.

    Args:
        logits: float, shape (num_examples, num_classes).
        labels: int, shape (num_examples,); multilabel: 0, 1 or NaN, shape of the logits.
        task: "multiclass" or "multilabel".
        weights: what an example of each class (multilabel: a "yes") weighs, shape (num_classes,).
        bounds: the smallest and the largest temperature.

    Returns:
        What to divide the logits by: the minimum of `smoothed_cross_entropy`.

    Raises:
        ShapeError: if the shapes do not agree.
        DataError: if a logit is NaN.
    """
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels)
    expected = logits.shape if task == "multilabel" else logits.shape[:1]
    if labels.shape != expected:
        raise ShapeError(f"`labels` must have shape {expected}. Received shape: {labels.shape}.")
    if not np.isfinite(logits).all():
        raise DataError("`logits` holds NaN or infinity: the model's weights or inputs are broken.")
    found = minimize_scalar(
        lambda log_t: smoothed_cross_entropy(logits / np.exp(log_t), labels, task, weights),
        bounds=np.log(bounds),
        method="bounded",
        options={"xatol": 1e-4},
    )
    return float(np.exp(found.x))


def smoothed_cross_entropy(
    logits: np.ndarray, labels: np.ndarray, task: str, weights: np.ndarray | None = None
) -> float:
    """Return the mean cross-entropy of labels that are right with probability (n + 1) / (n + 2).

    n is the number of examples: a few that are all answered rightly do not make an answer certain.

    Args:
        logits: float, shape (num_examples, num_classes).
        labels: see `fit_temperature`.
        task: "multiclass" or "multilabel".
        weights: see `fit_temperature`.

    References:
        Platt 1999, Probabilistic outputs for support vector machines, section 2.2.
    """
    doubt = 1 / (len(labels) + 2)
    each = np.ones(logits.shape[1]) if weights is None else weights
    if task == "multilabel":
        known = np.isfinite(labels) & (labels >= 0)
        yes = np.where(known, labels, 0) > 0.5
        targets = np.where(yes, 1 - doubt, doubt)
        losses = -(targets * log_expit(logits) + (1 - targets) * log_expit(-logits))
        return float((losses * np.where(yes, each, 1.0))[known].mean())
    likelihoods = log_softmax(logits, axis=1)
    right = likelihoods[np.arange(len(labels)), labels]
    wrong = (likelihoods.sum(axis=1) - right) / max(1, logits.shape[1] - 1)
    losses = -(1 - doubt) * right - doubt * wrong
    return float((losses * each[labels]).mean())
