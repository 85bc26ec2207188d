"""Starting the head from a logistic regression on the cached features."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from tftune.evaluation.temperature import fit_temperature, smoothed_cross_entropy

_REGULARISATIONS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)
SMALL = 4_000_000  # numbers; below, BLAS threads cost more than they bring, and digits are cheap
_TRUSTED_VALIDATION = 40
_FOLDS = 3
_ABSENT_LOGIT = -20.0
_TEMPERATURES = (0.1, 5.0)
"""Beyond these a few validation examples that are all right would make all answers certain."""

Linear = tuple[np.ndarray, np.ndarray]
"""Kernel, shape (num_features, num_classes), and bias, shape (num_classes,)."""


@dataclass(frozen=True)
class Probe:
    """A linear classifier on pooled features.

    Attributes:
        kernel: float32, shape (num_features, num_classes).
        bias: float32, shape (num_classes,).
        regularisation: the inverse strength C that was chosen.
        validation_accuracy: its accuracy on the validation features; for several labels an
            example, the share of label decisions that are right.
        temperature: what the regression's own kernel and bias were divided by.
    """

    kernel: np.ndarray
    bias: np.ndarray
    regularisation: float
    validation_accuracy: float
    temperature: float = 1.0

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return the logits of features, shape (num_examples, num_classes)."""
        return features @ self.kernel + self.bias


def fit_probe(
    features: np.ndarray,
    labels: np.ndarray,
    validation_features: np.ndarray,
    validation_labels: np.ndarray,
    num_classes: int,
    class_weights: Sequence[float] | None = None,
) -> Probe:
    """Fit logistic regressions and keep the one that generalises best.

    The regularisation is chosen on validation; where that has fewer than 40 examples, by
    three-fold cross-validation on the training features, if every class has three examples there.

    Args:
        features: shape (num_examples, num_features).
        labels: int, shape (num_examples,), for one class an example (a class without examples gets
            a logit that is never chosen); or 0 and 1, shape (num_examples, num_classes), for any
            number of classes an example.
        validation_features: shape (num_validation, num_features).
        validation_labels: like `labels`.
        num_classes: how many classes the head has.
        class_weights: what an example of each class (of several labels: a "yes") weighs.

    Returns:
        The probe with the lowest cross-entropy at the temperature that suits it best, and that
        temperature in its weights. Strong regularisation makes logits small, and features of
        length 1, as sentence encoders give them, make them smaller still: without a temperature the
        probe that is right most often loses to one that is merely surer.

    References:
        Kumar et al. 2022, https://arxiv.org/abs/2202.10054: a head fitted before fine-tuning
        keeps the features from being distorted.
    """
    # BLAS threads that wait for one another cost more than such small products: on two busy cores
    # this fit took a hundred times longer with them.
    small = features.size < SMALL
    weights = np.ones(num_classes) if class_weights is None else np.asarray(class_weights)
    with threadpool_limits(limits=1) if small else contextlib.nullcontext():
        mean, basis = _principal_axes(np.asarray(features))
        rotated = (features - mean) @ basis
        rotated_validation = (validation_features - mean) @ basis
        folds = _folds(labels, len(validation_labels))
        if folds is None:
            chosen, temperature, (kernel, bias) = _search(
                rotated, labels, rotated_validation, validation_labels, weights
            )
        else:
            chosen, temperature = _choose_by_folds(rotated, labels, folds, weights)
            kernel, bias = _fitter(rotated, labels, weights)(chosen)
    kernel, bias = _cooled((kernel, bias), temperature)
    kernel = basis @ kernel
    bias = bias - mean @ kernel
    right = _decisions(validation_features @ kernel + bias, labels.ndim) == validation_labels
    return Probe(
        kernel.astype(np.float32),
        bias.astype(np.float32),
        chosen,
        float(np.mean(right)),
        temperature,
    )


def _search(
    features: np.ndarray,
    labels: np.ndarray,
    held_out: np.ndarray,
    held_out_labels: np.ndarray,
    weights: np.ndarray,
) -> tuple[float, float, Linear]:
    """Weaken the regularisation until the held-out loss rises twice; each fit starts at the last.

    Losses are those at the best temperature.

    Returns:
        The chosen C, the best temperature of the model fitted with it, and that model.
    """
    fit = _fitter(features, labels, weights)
    best: tuple[float, float, float, Linear] | None = None
    worse = 0
    for regularisation in _REGULARISATIONS:
        kernel, bias = fit(regularisation)
        temperature, loss = _best_temperature(held_out @ kernel + bias, held_out_labels, weights)
        if best is None or loss < best[0]:
            best = (loss, regularisation, temperature, (kernel, bias))
            worse = 0
        else:
            worse += 1
            if worse == 2:
                break
    assert best is not None
    return best[1:]


def _choose_by_folds(
    features: np.ndarray,
    labels: np.ndarray,
    folds: list[tuple[np.ndarray, np.ndarray]],
    weights: np.ndarray,
) -> tuple[float, float]:
    """Return the C whose answers to the examples left out fit best, and their temperature."""
    answers: list[list[np.ndarray]] = [[] for _ in _REGULARISATIONS]
    for inside, outside in folds:
        fit = _fitter(features[inside], labels[inside], weights)
        for logits, regularisation in zip(answers, _REGULARISATIONS, strict=True):
            kernel, bias = fit(regularisation)
            logits.append(features[outside] @ kernel + bias)
    asked = np.concatenate([labels[outside] for _, outside in folds])
    found = [_best_temperature(np.concatenate(rows), asked, weights) for rows in answers]
    best = int(np.argmin([loss for _, loss in found]))
    return _REGULARISATIONS[best], found[best][0]


def _folds(labels: np.ndarray, num_validation: int) -> list[tuple[np.ndarray, np.ndarray]] | None:
    if num_validation >= _TRUSTED_VALIDATION or labels.ndim == 2:
        return None
    present = np.unique(labels, return_counts=True)[1]
    if present.min() < _FOLDS:
        return None
    splitter = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    return list(splitter.split(labels, labels))


def _fitter(
    features: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> Callable[[float], Linear]:
    """Return a function from C to a linear model; each call starts where the last one ended."""
    if labels.ndim == 1:
        return _ClassFitter(features, labels, weights).fit
    columns = [
        _ClassFitter(features, labels[:, index], np.array([1.0, weight]))
        for index, weight in enumerate(weights)
    ]

    def fit(regularisation: float) -> Linear:
        fitted = [column.fit(regularisation) for column in columns]
        # The sigmoid of the difference is the softmax of the two.
        kernel = np.stack([kernel[:, 1] - kernel[:, 0] for kernel, _ in fitted], axis=1)
        return kernel, np.array([bias[1] - bias[0] for _, bias in fitted])

    return fit


class _ClassFitter:
    """Multinomial logistic regression with warm starts; classes may be absent.

    Much data settles the held-out loss long before the last digits of the weights: on 20,000 images
    single precision and a tolerance of 1e-3 take 38 core-seconds instead of 229
    (benchmarks/scaling.py).
    """

    def __init__(self, features: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> None:
        much = features.size >= SMALL
        self._features = features.astype(np.float32) if much else features
        self._labels = labels.astype(int)
        self._weights = weights
        tolerance = 1e-3 if much else 1e-4
        self._model = LogisticRegression(max_iter=500, warm_start=True, tol=tolerance)

    def fit(self, regularisation: float) -> Linear:
        kernel = np.zeros((self._features.shape[1], len(self._weights)))
        bias = np.full(len(self._weights), _ABSENT_LOGIT)
        present = np.unique(self._labels)
        if len(present) == 1:
            bias[present] = 0.0
            return kernel, bias
        fitted = self._model.set_params(C=regularisation).fit(
            self._features, self._labels, self._weights[self._labels]
        )
        coefficients, intercepts = fitted.coef_, fitted.intercept_
        if len(present) == 2:
            # scikit-learn gives one sigmoid; the softmax of (-z/2, z/2) is the same function.
            coefficients = np.concatenate([-coefficients / 2, coefficients / 2])
            intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
        kernel[:, present] = coefficients.T
        bias[present] = intercepts
        return kernel, bias


def _best_temperature(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[float, float]:
    """Return what to divide logits by for the lowest cross-entropy, and that."""
    task = "multiclass" if labels.ndim == 1 else "multilabel"
    temperature = fit_temperature(logits, labels, task, weights, _TEMPERATURES)
    return temperature, smoothed_cross_entropy(logits / temperature, labels, task, weights)


def _cooled(linear: Linear, temperature: float) -> Linear:
    kernel, bias = linear
    return kernel / temperature, np.where(bias == _ABSENT_LOGIT, bias, bias / temperature)


def _decisions(logits: np.ndarray, dimensions: int) -> np.ndarray:
    return logits.argmax(axis=1) if dimensions == 1 else (logits > 0).astype(int)


def _principal_axes(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the features' mean and an orthonormal basis of what they span around it.

    An L2-penalised linear model has no weight outside that span (the representer theorem), and the
    penalty does not change under rotation, so fitting in the basis gives the same model with fewer,
    uncorrelated coordinates.
    """
    mean = features.mean(axis=0, dtype=np.float64)
    count, width = features.shape
    centred = features - mean
    if count <= width:
        _, _, axes = np.linalg.svd(centred, full_matrices=False)
        return mean, axes.T
    # With more examples than features the span is everything, and the eigenvectors of the small
    # covariance matrix are the same axes at a fraction of the cost.
    return mean, np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
