"""Splits are disjoint, complete, stratified and repeatable."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tftune.data.splits import stratified_split
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
