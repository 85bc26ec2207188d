"""Unequal class counts: weights for the loss, or rare classes shown more often."""

from __future__ import annotations

import numpy as np

from tftune.data.targets import Target
from tftune.errors import DataError


def balanced_class_weights(target: Target) -> np.ndarray:
    """Weigh each class by the inverse of its count, so that the mean over the examples is 1.

    Args:
        target: a multiclass target; examples with unknown labels do not count.

    Returns:
        float32, shape (num_classes,); 1 for a class without examples.

    Raises:
        DataError: if the target is not multiclass.

    References:
        scikit-learn's `compute_class_weight("balanced")`, after King and Zeng 2001.
    """
    from sklearn.utils.class_weight import compute_class_weight

    _check_multiclass(target, "balanced_class_weights")
    known = target.labels[target.labels >= 0]
    present = np.unique(known)
    weights = np.ones(target.num_classes, np.float32)
    if len(present):
        weights[present] = compute_class_weight("balanced", classes=present, y=known)
    return weights


def softened_class_weights(target: Target) -> np.ndarray:
    """Weigh each class by the square root of its balanced weight; the mean over examples is 1.

    Balanced weights train for data in which all classes are equally frequent, and so cost accuracy
    on data that is as uneven as the training data. Their square root gives rare classes a part of
    that weight.

    Args:
        target: a multiclass target; examples with unknown labels do not count.

    Returns:
        float32, shape (num_classes,).

    Raises:
        DataError: if the target is not multiclass.

    References:
        Mahajan et al. 2018, https://arxiv.org/abs/1805.00932, section 2.2, who sample so.
    """
    weights = np.sqrt(balanced_class_weights(target))
    known = target.labels[target.labels >= 0]
    return weights / weights[known].mean() if len(known) else weights


def positive_weights(target: Target) -> np.ndarray:
    """Weigh the positive examples of each label by how many negatives there are to one.

    Args:
        target: a multilabel target; unknown labels do not count.

    Returns:
        float32, shape (num_classes,); 1 for a label without positive or negative examples.

    Raises:
        DataError: if the target is not multilabel.
    """
    if target.task != "multilabel":
        raise DataError(
            f"`positive_weights` needs a multilabel target. Received task: {target.task!r}."
        )
    positive = np.nansum(target.labels, axis=0)
    negative = np.isfinite(target.labels).sum(axis=0) - positive
    usable = (positive > 0) & (negative > 0)
    return np.where(usable, negative / np.maximum(positive, 1), 1).astype(np.float32)


def oversampled_order(target: Target, seed: int = 0, epoch: int = 0) -> np.ndarray:
    """Order an epoch in which every class appears as often as the largest one.

    Every example appears at least once; those of smaller classes are repeated in full rounds, and
    the rest of the last round is chosen at random.

    Args:
        target: a multiclass target; examples with unknown labels appear once.
        seed: with the epoch, decides the order and the choice.
        epoch: the number of the epoch.

    Returns:
        int64 indices of examples, shuffled; a pure function of labels, seed and epoch.

    Raises:
        DataError: if the target is not multiclass.
    """
    _check_multiclass(target, "oversampled_order")
    generator = np.random.default_rng([seed, epoch])
    largest = int(target.counts.max(initial=0))
    parts = [np.flatnonzero(target.labels < 0)]
    for label in range(target.num_classes):
        members = np.flatnonzero(target.labels == label)
        if not len(members):
            continue
        rounds, rest = divmod(largest, len(members))
        parts.extend([np.tile(members, rounds), generator.permutation(members)[:rest]])
    return generator.permutation(np.concatenate(parts)).astype(np.int64)


def imbalance_ratio(target: Target) -> float:
    """Return how many examples the largest class has for one of the smallest that has any."""
    counts = target.counts[target.counts > 0]
    return float(counts.max() / counts.min()) if len(counts) else 1.0


def _check_multiclass(target: Target, function: str) -> None:
    if target.task != "multiclass":
        raise DataError(f"`{function}` needs a multiclass target. Received task: {target.task!r}.")
