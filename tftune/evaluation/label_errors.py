"""Likely label errors and outliers, from cached features of a pretrained network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

LEAST_A_CLASS = 5  # examples; a class with fewer is in too few folds to be learned
_FOLDS = 5
_REGULARISATION = 0.01
_COMPONENTS = 256
_LEAST_PROBABILITY = 0.2  # of being mislabelled, to be worth a look
_SHARPNESSES = np.exp(np.linspace(-0.5, 3, 36))
_STEPS = 60
_NEIGHBOURS = 5
_REFERENCES = 10_000


@dataclass(frozen=True, eq=False)
class LabelErrors:
    """How doubtful each label is.

    Attributes:
        probabilities: float64, shape (num_examples,): that the label is wrong; 0 where not checked.
        predicted: int64, shape (num_examples,): the class a probe that has not seen the example
            gives it; its own label where not checked.
        flagged: int64: indices worth a look, most doubtful first.
        estimated_number: how many labels are wrong, by the fitted noise rate; a flagged example
            may be right and a wrong one may go unflagged.
    """

    probabilities: np.ndarray
    predicted: np.ndarray
    flagged: np.ndarray
    estimated_number: float


def reduced(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """Rotate features into their main axes and keep at most 256 of them.

    Args:
        features: shape (num_examples, num_features).
        seed: of the randomised decomposition.

    Returns:
        float32, shape (num_examples, at most 256), centred.
    """
    count = min(_COMPONENTS, *features.shape)
    decomposition = PCA(count, svd_solver="randomized", iterated_power=1, random_state=seed)
    with threadpool_limits(limits=1):  # see `out_of_fold`
        return decomposition.fit_transform(np.asarray(features, dtype=np.float32))


def find_label_errors(
    features: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> LabelErrors:
    """Rank labels by how likely they are wrong, and estimate how many are.

    A strongly regularised logistic regression is fitted in five folds, so that each example gets
    probabilities p from a probe that has not seen it. Two unknowns are then fitted to the given
    labels y by maximum likelihood: the probe's sharpness (one over a temperature) and the share e
    of labels replaced by a random other class of K,

        P(y) = (1 - e) p[y] + e (1 - p[y]) / (K - 1),

    whose second part, divided by the whole, is the probability that y is wrong. So nothing need be
    known about the true error rate, and clean but difficult data gives e near 0 and flags nothing.

    Args:
        features: shape (num_examples, num_features); see `reduced`.
        labels: int, shape (num_examples,).
        groups: int, shape (num_examples,); copies of a picture share a number, which keeps them
            in one fold, where they cannot vouch for each other.
        seed: chooses the folds.

    Returns:
        Probabilities and the examples worth a look: those with at least one chance in five.

    References:
        Patrini et al. 2017, https://arxiv.org/abs/1609.03683 (forward correction; here with one
        rate). Northcutt et al. 2021, https://arxiv.org/abs/1911.00068 (ranking by self-confidence).
    """
    labels = np.asarray(labels, dtype=np.int64)
    groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
    checked, classes = checkable(labels, groups)
    probabilities = np.zeros(len(labels))
    predicted = labels.copy()
    if len(classes) < 2:
        return LabelErrors(probabilities, predicted, np.zeros(0, dtype=np.int64), 0.0)
    own = np.searchsorted(classes, labels[checked])
    log_probabilities = out_of_fold(features[checked], own, groups[checked], seed)
    wrong = _fit_noise(log_probabilities, own)
    probabilities[checked] = wrong
    predicted[checked] = classes[log_probabilities.argmax(axis=1)]
    order = np.argsort(-probabilities, kind="stable")
    # An example whose own label the probe finds most probable cannot be argued with.
    doubtful = (probabilities >= _LEAST_PROBABILITY) & (predicted != labels)
    return LabelErrors(probabilities, predicted, order[doubtful[order]], float(wrong.sum()))


def checkable(labels: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of examples in classes large enough to be learned, and those classes.

    Args:
        labels: int, shape (num_examples,).
        groups: int, shape (num_examples,); copies of a picture share a number and count once.
    """
    distinct = np.unique(np.stack([labels, groups], axis=1), axis=0)
    classes, counts = np.unique(distinct[:, 0], return_counts=True)
    classes = classes[counts >= LEAST_A_CLASS]
    return np.flatnonzero(np.isin(labels, classes)), classes


def out_of_fold(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int
) -> np.ndarray:
    """Give each example log-probabilities from a probe fitted without it.

    Args:
        features: shape (num_examples, num_features).
        labels: int, shape (num_examples,), in [0, num_classes); each class at least five times.
        groups: int, shape (num_examples,); a group is never on both sides.
        seed: chooses the folds.

    Returns:
        float64, shape (num_examples, num_classes).
    """
    folds = _folds(labels, groups, seed)
    answers = np.full((len(labels), labels.max() + 1), -np.inf)
    # BLAS threads that wait for one another cost more than such small products.
    with threadpool_limits(limits=1):
        for fold in range(_FOLDS):
            inside = folds == fold
            if not inside.any():
                continue
            probe = LogisticRegression(C=_REGULARISATION, max_iter=500)
            probe.fit(features[~inside], labels[~inside])
            answers[np.ix_(inside, probe.classes_)] = probe.predict_log_proba(features[inside])
    return answers


def confident_joint(log_probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Flag label errors by the confident joint, as a reference for the rule above.

    An example counts as class k if its probability of k reaches the mean probability of k among
    those labelled k; it is flagged if the most probable such class is not its label.

    Args:
        log_probabilities: shape (num_examples, num_classes), from `out_of_fold`.
        labels: int, shape (num_examples,).

    Returns:
        bool, shape (num_examples,).

    References:
        Northcutt et al. 2021, https://arxiv.org/abs/1911.00068, section 3.1.
    """
    probabilities = np.exp(log_probabilities)
    num_classes = probabilities.shape[1]
    thresholds = np.array([probabilities[labels == k, k].mean() for k in range(num_classes)])
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    return (confident.max(axis=1) >= 0) & (confident.argmax(axis=1) != labels)


def find_outliers(features: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """Find examples that are far from all others.

    The score is the mean cosine distance to the five nearest others that are no copies; examples
    beyond the third quartile by three times the interquartile range are outliers (Tukey's outer
    fence).

    Args:
        features: shape (num_examples, num_features), as they come: reduced ones, being centred on
            the usual, tell strangers worse.
        groups: int, shape (num_examples,); copies of a picture share a number.

    Returns:
        int64: their indices, farthest first.
    """
    count = len(features)
    groups = np.arange(count) if groups is None else np.asarray(groups)
    if count < 4 * _NEIGHBOURS:
        return np.zeros(0, dtype=np.int64)
    features = np.asarray(features, dtype=np.float32)
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    generator = np.random.default_rng(0)
    references = np.sort(generator.permutation(count)[:_REFERENCES])
    scores = np.empty(count)
    for start in range(0, count, 1024):
        rows = slice(start, start + 1024)
        distances = 1 - unit[rows] @ unit[references].T
        distances[groups[rows, None] == groups[references]] = np.inf
        scores[rows] = np.partition(distances, _NEIGHBOURS - 1)[:, :_NEIGHBOURS].mean(axis=1)
    finite = scores[np.isfinite(scores)]
    if not len(finite):
        return np.zeros(0, dtype=np.int64)
    lower, upper = np.quantile(finite, [0.25, 0.75])
    order = np.argsort(-scores, kind="stable")
    return order[(scores > upper + 3 * (upper - lower))[order] & np.isfinite(scores)[order]]


def _folds(labels: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Deal groups to folds, class by class of their first member, so that folds are alike."""
    generator = np.random.default_rng(seed)
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    fold_of_group = np.empty(len(first), dtype=np.int64)
    dealt = 0
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels[first] == label))
        fold_of_group[members] = (dealt + np.arange(len(members))) % _FOLDS
        dealt += len(members)
    return fold_of_group[group]


def _fit_noise(log_probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the probability that each label is wrong under the most likely noise."""
    num_classes = log_probabilities.shape[1]
    # A class whose copies all fell into one fold is unknown to that fold's probe: nothing is said.
    known = np.isfinite(log_probabilities[np.arange(len(labels)), labels])
    finite = np.maximum(log_probabilities, -1e3)
    best_likelihood, best = -np.inf, np.zeros(len(labels))
    for sharpness in _SHARPNESSES:
        scaled = finite * sharpness
        scaled -= scaled.max(axis=1, keepdims=True)
        own = np.exp(scaled[np.arange(len(labels)), labels]) / np.exp(scaled).sum(axis=1)
        own = np.where(known, np.clip(own, 1e-12, 1), 1)
        other = (1 - own) / (num_classes - 1)
        share = 0.05
        for _ in range(_STEPS):  # expectation maximisation of the share alone
            wrong = share * other / (share * other + (1 - share) * own)
            share = wrong.mean()
        likelihood = np.log(share * other + (1 - share) * own).sum()
        if likelihood > best_likelihood:
            best_likelihood, best = likelihood, wrong
    return best
