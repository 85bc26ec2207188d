"""Dividing examples into train, validation and test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tftune.errors import ConfigError

SPLIT_NAMES = ("train", "validation", "test")


def stratified_split(
    labels: Sequence[int] | np.ndarray,
    validation_share: float = 0.15,
    test_share: float = 0.15,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Assign every example to exactly one split, each class in proportion.

    A class too small for its shares keeps at least one training example; with three or more it
    also gives at least one to every split that has a share.

    Args:
        labels: int, shape (num_examples,).
        validation_share: share of each class for validation, in [0, 1).
        test_share: share of each class for test, in [0, 1).
        seed: the same labels and seed give the same splits on any machine.

    Returns:
        Sorted index arrays by split name: "train", "validation", "test".

    Raises:
        ConfigError: if the shares leave nothing to train on.
    """
    if min(validation_share, test_share) < 0 or validation_share + test_share >= 1:
        raise ConfigError(
            "`validation_share` and `test_share` must be at least 0 and sum to less than 1. "
            f"Received: {validation_share} and {test_share}."
        )
    labels = np.asarray(labels)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in SPLIT_NAMES}
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        order = np.random.default_rng([seed, int(label)]).permutation(members)
        num_test = _share_of(len(members), test_share)
        num_validation = _share_of(len(members), validation_share)
        while num_test + num_validation >= len(members):
            # Two examples: train and validation; a test set of one class's leftovers says little.
            if num_test >= num_validation and num_test:
                num_test -= 1
            else:
                num_validation -= 1
        parts["test"].append(order[:num_test])
        parts["validation"].append(order[num_test : num_test + num_validation])
        parts["train"].append(order[num_test + num_validation :])
    return {
        name: np.sort(np.concatenate(chunks)) if chunks else np.zeros(0, int)
        for name, chunks in parts.items()
    }


def _share_of(count: int, share: float) -> int:
    if share == 0:
        return 0
    return max(1, round(count * share))
