"""Metrics equal scikit-learn's and ignore the order of examples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from tftune.errors import DataError, ShapeError
from tftune.evaluation.metrics import classification_evaluation


def _random_answers(seed, count=40, num_classes=4):
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.ones(num_classes), count)
    return probabilities, generator.integers(0, num_classes, count)


@given(seed=st.integers(0, 1000))
def test_headline_metrics_are_scikit_learns(seed):
    probabilities, labels = _random_answers(seed)
    evaluation = classification_evaluation(probabilities, labels, "abcd", num_resamples=20)
    predicted = probabilities.argmax(1)
    assert evaluation.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert evaluation.metrics["loss"] == pytest.approx(
        metrics.log_loss(labels, probabilities, labels=range(4))
    )
    assert evaluation.metrics["macro_f1"] == pytest.approx(
        metrics.f1_score(labels, predicted, average="macro", zero_division=0)
    )
    assert evaluation.confusion.sum() == len(labels)


@given(seed=st.integers(0, 1000))
def test_the_order_of_examples_does_not_matter(seed):
    probabilities, labels = _random_answers(seed)
    order = np.random.default_rng(seed).permutation(len(labels))
    one = classification_evaluation(probabilities, labels, "abcd", num_resamples=5)
    two = classification_evaluation(probabilities[order], labels[order], "abcd", num_resamples=5)
    assert one.metrics == pytest.approx(two.metrics)
    assert (one.confusion == two.confusion).all()


def test_intervals_cover_the_true_accuracy_about_as_often_as_they_say():
    covered = 0
    generator = np.random.default_rng(0)
    for _ in range(200):
        labels = np.zeros(60, int)
        right = generator.random(60) < 0.8
        probabilities = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])
        evaluation = classification_evaluation(probabilities, labels, "ab", num_resamples=300)
        interval = evaluation.intervals["accuracy"]
        covered += interval.low <= 0.8 <= interval.high
    # 95% nominal; the percentile bootstrap of 60 coin flips is known to fall a little short.
    assert 0.88 <= covered / 200 <= 1.0


def test_a_class_without_examples_is_shown_with_no_support():
    evaluation = classification_evaluation(np.eye(3)[[0, 1]], np.array([0, 1]), "abc")
    assert evaluation.per_class["c"]["support"] == 0
    assert "a" in str(evaluation)


def test_shapes_that_disagree_and_nan_are_refused():
    with pytest.raises(ShapeError, match=r"\(2, 3\)"):
        classification_evaluation(np.eye(2), np.array([0, 1]), "abc")
    with pytest.raises(DataError, match="NaN"):
        classification_evaluation(np.full((2, 2), np.nan), np.array([0, 1]), "ab")


def test_the_confusion_matrix_can_be_drawn():
    probabilities, labels = _random_answers(0)
    figure = classification_evaluation(probabilities, labels, ["a", "b", "c", "d"]).plot()
    assert figure.axes[0].get_ylabel() == "true class"
