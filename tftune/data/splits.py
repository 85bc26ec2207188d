"""Dividing examples into train, validation and test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tftune.config.model_spec import TAGS
from tftune.data.targets import Target
from tftune.errors import ConfigError, DataError

SPLIT_NAMES = ("train", "validation", "test")
_MOST_BINS = 10


def divide(
    targets: Sequence[Target],
    validation_share: float = 0.15,
    test_share: float = 0.15,
    seed: int = 0,
    groups: Sequence[object] | np.ndarray | None = None,
    ready: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
    """Assign every example to exactly one split.

    A split for which there are ready-made examples is left as it is; one without any is taken out
    of the ready-made training examples.

    Args:
        targets: what is to be predicted; classes are kept in proportion.
        validation_share: share of the examples for validation, in [0, 1).
        test_share: share of the examples for test, in [0, 1).
        seed: the same targets, groups and seed give the same splits on any machine.
        groups: one entry an example; no group is in two splits.
        ready: one of "train", "validation" and "test" an example, where that is decided already.

    Returns:
        Sorted index arrays by split name.

    Raises:
        ConfigError: if the shares leave nothing to train on.
        DataError: if a group is in two ready-made splits.
    """
    check_shares(validation_share, test_share)
    count = len(targets[0])
    fixed = {name: np.zeros(0, int) for name in SPLIT_NAMES}
    rest = np.arange(count)
    if ready is not None:
        names = np.asarray(ready, dtype=str)
        fixed = {name: np.flatnonzero(names == name) for name in SPLIT_NAMES}
        if groups is not None:
            _check_groups_apart(groups, names)
        rest = fixed["train"]
        validation_share = 0 if len(fixed["validation"]) else validation_share
        test_share = 0 if len(fixed["test"]) else test_share
    remaining = [target.take(rest) for target in targets]
    if groups is not None:
        chosen_groups = np.asarray([str(group) for group in groups])[rest]
        new = grouped_split(
            _indicators(remaining), chosen_groups, validation_share, test_share, seed
        )
    elif len(remaining) == 1 and remaining[0].task == "multiclass":
        new = stratified_split(remaining[0].labels, validation_share, test_share, seed)
    elif len(remaining) == 1 and remaining[0].task == "regression":
        new = stratified_split(_bins(remaining[0].labels), validation_share, test_share, seed)
    else:
        alone = np.arange(len(rest))
        new = grouped_split(_indicators(remaining), alone, validation_share, test_share, seed)
    divided = {name: rest[new[name]] for name in SPLIT_NAMES}
    for name in ("validation", "test"):
        divided[name] = np.sort(np.concatenate([divided[name], fixed[name]]).astype(int))
    return divided


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
        labels: int, shape (num_examples,); -1 where unknown.
        validation_share: share of each class for validation, in [0, 1).
        test_share: share of each class for test, in [0, 1).
        seed: the same labels and seed give the same splits on any machine.

    Returns:
        Sorted index arrays by split name: "train", "validation", "test".

    Raises:
        ConfigError: if the shares leave nothing to train on.
    """
    check_shares(validation_share, test_share)
    labels = np.asarray(labels)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in SPLIT_NAMES}
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        # Seeds cannot be negative; those of the labels from 0 on are as they always were.
        stream = int(label) if label >= 0 else 2**32 + int(label)
        order = np.random.default_rng([seed, stream]).permutation(members)
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


def grouped_split(
    indicators: np.ndarray,
    groups: np.ndarray,
    validation_share: float,
    test_share: float,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Assign whole groups to splits, every label as near its share as groups allow.

    Greedy: the groups that are hardest to place, those of rare labels and the large ones, choose
    first, each the split in which it brings the label counts nearest to what they should be.

    Args:
        indicators: shape (num_examples, num_labels), 0 or 1: the labels each example has.
        groups: shape (num_examples,); examples with equal entries stay together.
        validation_share: share of the examples for validation, in [0, 1).
        test_share: share of the examples for test, in [0, 1).
        seed: decides between groups that are alike.

    Returns:
        Sorted index arrays by split name. Every label keeps an example in train.

    References:
        Sechidis et al. 2011, https://doi.org/10.1007/978-3-642-23808-6_10, whose order this
        follows with a chi-squared measure.
    """
    check_shares(validation_share, test_share)
    shares = {
        "train": 1 - validation_share - test_share,
        "validation": validation_share,
        "test": test_share,
    }
    open_splits = [name for name in SPLIT_NAMES if shares[name] > 0]
    names, members = np.unique(groups, return_inverse=True)
    # A column of ones makes the sizes of the splits count like one more label.
    columns = np.column_stack([indicators, np.ones(len(indicators))]).astype(np.float64)
    totals = np.maximum(columns.sum(axis=0), 1)
    counts = np.zeros((len(names), columns.shape[1]))
    np.add.at(counts, members, columns)
    weight = (counts / totals).max(axis=1) if len(names) else np.zeros(0)
    order = np.lexsort((np.random.default_rng(seed).permutation(len(names)), -weight))
    wanted = np.array([shares[name] for name in open_splits])[:, np.newaxis] * totals
    wanted = np.maximum(wanted, 1e-3)  # a vanishing share is no reason to divide by zero
    held = np.zeros_like(wanted)
    assigned = np.zeros(len(names), int)
    for group in order:
        # Chi-squared distances, so that splits fill up in step whatever their sizes.
        before = ((held - wanted) ** 2 / wanted).sum(axis=1)
        after = ((held + counts[group] - wanted) ** 2 / wanted).sum(axis=1)
        choice = int(np.argmin(np.round(after - before, 12)))
        missing = (
            (counts[group] > 0) & (held[0] == 0) & (held.sum(axis=0) + counts[group] == totals)
        )
        if missing.any():
            choice = 0  # the last chance of a label to be trained on
        held[choice] += counts[group]
        assigned[group] = choice
    by_example = assigned[members]
    return {
        name: np.flatnonzero(by_example == open_splits.index(name))
        if name in open_splits
        else np.zeros(0, int)
        for name in SPLIT_NAMES
    }


def check_shares(validation_share: float, test_share: float) -> None:
    """Raise ConfigError unless the shares leave something to train on."""
    fine = validation_share >= 0 and test_share >= 0 and validation_share + test_share < 1
    if not fine:
        raise ConfigError(
            "`validation_share` and `test_share` must be at least 0 and sum to less than 1. "
            f"Received: {validation_share} and {test_share}."
        )


def _share_of(count: int, share: float) -> int:
    if share == 0:
        return 0
    return max(1, round(count * share))


def _indicators(targets: Sequence[Target]) -> np.ndarray:
    columns = []
    for target in targets:
        if target.task == TAGS:
            occurs = [(target.labels == tag).any(axis=1) for tag in range(target.num_classes)]
            columns.append(np.stack(occurs, axis=1))
            continue
        if target.task == "multilabel":
            columns.append(np.nan_to_num(target.labels) > 0)
            continue
        labels = _bins(target.labels) if target.task == "regression" else target.labels
        columns.append(labels[:, np.newaxis] == np.unique(labels[labels >= 0]))
    return np.concatenate(columns, axis=1)


def _bins(values: np.ndarray) -> np.ndarray:
    """Sort the first quantity into up to ten bins of equal counts; -1 where it is unknown."""
    first = values[:, 0]
    known = np.isfinite(first)
    bins = np.full(len(first), -1)
    if known.any():
        num_bins = max(1, min(_MOST_BINS, int(known.sum()) // 5))
        edges = np.quantile(first[known], np.linspace(0, 1, num_bins + 1)[1:-1])
        bins[known] = np.searchsorted(edges, first[known], side="right")
    return bins


def _check_groups_apart(groups: Sequence[object] | np.ndarray, names: np.ndarray) -> None:
    seen: dict[str, str] = {}
    for group, name in zip(groups, names, strict=True):
        first = seen.setdefault(str(group), name)
        if first != name:
            raise DataError(
                f"Group {str(group)!r} is in two ready-made splits, {first!r} and {name!r}. "
                "Put all of its examples into one, or leave the split column out."
            )
