"""Class weights and oversampling against scikit-learn and plain counting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from tftune.data.imbalance import (
    balanced_class_weights,
    imbalance_ratio,
    oversampled_order,
    positive_weights,
    softened_class_weights,
)
from tftune.data.targets import Target
from tftune.errors import DataError


def classes(labels, count=3):
    return Target("label", "multiclass", tuple("abcdef"[:count]), np.array(labels, np.int64))


def test_balanced_weights_are_those_of_scikit_learn():
    labels = [0] * 7 + [1] * 2 + [2]
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    weights = balanced_class_weights(classes([*labels, -1]))
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    np.testing.assert_allclose(np.mean(weights[labels]), 1, rtol=1e-6)


def test_softened_weights_are_square_roots_that_leave_the_mean_example_at_one():
    labels = [0] * 9 + [1] * 1
    weights = softened_class_weights(classes([*labels, -1]))
    assert weights[1] / weights[0] == pytest.approx(3, rel=1e-6)
    np.testing.assert_allclose(np.mean(weights[labels]), 1, rtol=1e-6)
    np.testing.assert_array_equal(softened_class_weights(classes([-1])), [1, 1, 1])


@given(labels=st.lists(st.integers(-1, 3), min_size=1, max_size=50), epoch=st.integers(0, 3))
def test_oversampling_shows_every_example_and_every_class_equally_often(labels, epoch):
    target = classes(labels, 4)
    order = oversampled_order(target, seed=1, epoch=epoch)
    assert set(order) == set(range(len(labels)))
    shown = np.bincount(np.array(labels)[order] + 1, minlength=5)[1:]
    assert set(shown[shown > 0]) <= {target.counts.max()}
    np.testing.assert_array_equal(order, oversampled_order(target, seed=1, epoch=epoch))


def test_positive_weights_are_the_negatives_a_positive():
    labels = np.array([[1, 0], [0, 0], [0, np.nan], [0, 0]], np.float32)
    target = Target("tags", "multilabel", ("a", "b"), labels)
    np.testing.assert_array_equal(positive_weights(target), [3, 1])


def test_the_ratio_is_of_the_largest_class_to_the_smallest_present():
    assert imbalance_ratio(classes([0, 0, 0, 1, -1])) == 3
    assert imbalance_ratio(classes([-1])) == 1


def test_targets_of_another_task_are_refused():
    target = Target("age", "regression", ("age",), np.zeros((2, 1), np.float32))
    for function in (balanced_class_weights, oversampled_order, positive_weights):
        with pytest.raises(DataError, match="Received task: 'regression'"):
            function(target)
