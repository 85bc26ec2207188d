"""Splits are disjoint, complete, stratified and repeatable."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tftune.data.splits import divide, grouped_split, stratified_split
from tftune.data.targets import Target
from tftune.errors import ConfigError


@given(
    labels=st.lists(st.integers(0, 5), min_size=1, max_size=80),
    shares=st.tuples(st.floats(0, 0.45), st.floats(0, 0.45)),
    seed=st.integers(0, 5),
)
def test_every_example_is_in_exactly_one_split_and_every_class_is_trained_on(labels, shares, seed):
    splits = stratified_split(labels, *shares, seed=seed)
    everything = np.concatenate(list(splits.values()))
    assert sorted(everything) == list(range(len(labels)))
    assert {labels[i] for i in splits["train"]} == set(labels)


def test_three_examples_of_a_class_reach_all_three_splits():
    splits = stratified_split([0, 0, 0, 1, 1, 1])
    assert [len(splits[name]) for name in ("train", "validation", "test")] == [2, 2, 2]


def test_two_examples_of_a_class_are_for_training_and_validation():
    splits = stratified_split([0, 0, 1, 1])
    assert [len(splits[name]) for name in ("train", "validation", "test")] == [2, 2, 0]


def test_the_splits_are_the_same_everywhere_for_the_same_seed():
    splits = stratified_split([0] * 10 + [1] * 10, seed=3)
    assert splits["test"].tolist() == [6, 9, 11, 14]
    assert splits["validation"].tolist() == [0, 2, 12, 18]


def test_shares_that_leave_nothing_to_train_on_are_refused():
    with pytest.raises(ConfigError, match="sum to less than 1"):
        stratified_split([0, 1], 0.5, 0.5)


@given(
    groups=st.lists(st.integers(0, 12), min_size=1, max_size=60),
    shares=st.tuples(st.floats(0, 0.45), st.floats(0, 0.45)),
    seed=st.integers(0, 3),
)
def test_no_group_is_in_two_splits_and_every_label_is_trained_on(groups, shares, seed):
    groups = np.array(groups)
    labels = np.eye(3)[groups % 3]
    splits = grouped_split(labels, groups, *shares, seed=seed)
    assert sorted(np.concatenate(list(splits.values()))) == list(range(len(groups)))
    members = [set(groups[indices]) for indices in splits.values()]
    assert sum(map(len, members)) == len(set(groups))
    np.testing.assert_array_equal(labels[splits["train"]].any(0), labels.any(0))


def test_groups_keep_classes_in_proportion_as_far_as_they_allow():
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(100), generator.integers(1, 8, 100))
    labels = (groups % 4 == 0).astype(int)
    splits = grouped_split(np.eye(2)[labels], groups, 0.2, 0.2)
    for name, share in (("train", 0.6), ("validation", 0.2), ("test", 0.2)):
        chosen = labels[splits[name]]
        # One group of at most seven is the most that can be misplaced for long.
        assert abs(len(chosen) - share * len(labels)) <= 7
        assert abs(chosen.sum() - share * labels.sum()) <= 7


def test_rare_labels_of_a_multilabel_target_reach_every_split():
    generator = np.random.default_rng(1)
    labels = (generator.random((400, 6)) < [0.5, 0.4, 0.3, 0.1, 0.05, 0.03]).astype(np.float32)
    target = Target("tags", "multilabel", tuple("abcdef"), labels)
    splits = divide([target], 0.2, 0.2)
    for name, share in (("train", 0.6), ("validation", 0.2), ("test", 0.2)):
        counts = labels[splits[name]].sum(0)
        np.testing.assert_allclose(counts, labels.sum(0) * share, atol=2)


def test_a_regression_target_is_split_along_its_range():
    values = np.random.default_rng(2).exponential(size=(200, 1)).astype(np.float32)
    splits = divide([Target("age", "regression", ("age",), values)], 0.2, 0.2)
    for indices in splits.values():
        # A fifth of each tenth of the range: the medians agree to within a tenth.
        assert 0.4 <= np.mean(values < np.median(values[indices])) <= 0.6


def test_unknown_labels_are_divided_too():
    labels = np.array([-1] * 10 + [0] * 10 + [1] * 10)
    target = Target("label", "multiclass", ("a", "b"), labels)
    splits = divide([target], 0.2, 0.2)
    assert [(labels[i] == -1).sum() for i in splits.values()] == [6, 2, 2]


def test_grouped_splits_are_the_same_everywhere_for_the_same_seed():
    groups = np.arange(24) // 3
    splits = grouped_split(np.eye(2)[np.arange(24) // 12], groups, 0.25, 0.25, seed=3)
    assert {name: sorted(set(groups[i].tolist())) for name, i in splits.items()} == {
        "train": [1, 3, 5, 7],
        "validation": [2, 4],
        "test": [0, 6],
    }
