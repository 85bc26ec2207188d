"""Metrics equal scikit-learn's, their intervals cover, and bad answers are refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from tftune.errors import DataError, ShapeError
from tftune.evaluation.bootstrap import RankCurve, interval, resample_weights
from tftune.evaluation.metrics import _Counts, classification_evaluation
from tftune.results.evaluation import Evaluation


def _random_answers(seed, count=40, num_classes=4):
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.ones(num_classes), count)
    return probabilities, generator.integers(0, num_classes, count)


def _by_scikit_learn(probabilities, labels):
    predicted, num_classes = probabilities.argmax(1), probabilities.shape[1]
    onehot = np.eye(num_classes)[labels]
    found = {
        "accuracy": metrics.accuracy_score(labels, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, predicted),
        "top_2_accuracy": metrics.top_k_accuracy_score(
            labels, probabilities, k=2, labels=range(num_classes)
        ),
        "micro_f1": metrics.f1_score(labels, predicted, average="micro"),
        "loss": metrics.log_loss(labels, probabilities, labels=range(num_classes)),
        "brier": np.square(probabilities - onehot).sum(axis=1).mean(),
        "kappa": metrics.cohen_kappa_score(labels, predicted),
        "mcc": metrics.matthews_corrcoef(labels, predicted),
        "roc_auc": metrics.roc_auc_score(onehot, probabilities, average="macro"),
        "average_precision": metrics.average_precision_score(onehot, probabilities),
    }
    for average in ("macro", "weighted"):
        for name in ("precision", "recall", "f1"):
            score = getattr(metrics, f"{name}_score")
            found[f"{average}_{name}"] = score(labels, predicted, average=average, zero_division=0)
    return found


@given(seed=st.integers(0, 1000))
@settings(max_examples=12)
def test_every_metric_is_scikit_learns(seed):
    probabilities, labels = _random_answers(seed)
    evaluation = classification_evaluation(probabilities, labels, "abcd", num_resamples=0)
    assert evaluation.metrics == pytest.approx(_by_scikit_learn(probabilities, labels))
    assert evaluation.confusion.sum() == len(labels)


def test_figures_on_a_resample_are_those_of_scikit_learn_on_its_examples():
    probabilities, labels = _random_answers(1, count=60)
    # Ties, which ranked metrics must not split; and no zeros, at which logarithms are cut off.
    probabilities = probabilities.round(1) + 0.05
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    (weights,) = resample_weights(60, 5, seed=2)
    figures = _Counts(probabilities, labels)(weights)
    for row, counts in enumerate(weights.astype(int)):
        chosen = np.repeat(np.arange(60), counts)
        expected = _by_scikit_learn(probabilities[chosen], labels[chosen])
        for name, column in figures.items():
            assert column[row] == pytest.approx(expected[name]), name
        auc, precise = RankCurve(probabilities[:, 1], labels == 1).areas(counts[None].astype(float))
        truth, scores = labels[chosen] == 1, probabilities[chosen, 1]
        assert auc[0] == pytest.approx(metrics.roc_auc_score(truth, scores))
        assert precise[0] == pytest.approx(metrics.average_precision_score(truth, scores))


@given(seed=st.integers(0, 1000))
@settings(max_examples=12)
def test_the_order_of_examples_does_not_matter(seed):
    probabilities, labels = _random_answers(seed)
    order = np.random.default_rng(seed).permutation(len(labels))
    one = classification_evaluation(probabilities, labels, "abcd", num_resamples=0)
    two = classification_evaluation(probabilities[order], labels[order], "abcd", num_resamples=0)
    assert one.metrics == pytest.approx(two.metrics)
    assert (one.confusion == two.confusion).all()


def test_every_headline_figure_has_an_interval_around_it_and_a_baseline_beside_it():
    probabilities, labels = _random_answers(0, count=200)
    evaluation = classification_evaluation(probabilities, labels, "abcd")
    assert set(evaluation.intervals) == set(evaluation.metrics) == set(evaluation.baseline)
    for name, found in evaluation.intervals.items():
        assert found.low <= evaluation.metrics[name] <= found.high, name


def test_the_baseline_answers_the_shares_of_the_classes():
    labels = np.array([0] * 6 + [1] * 3 + [2])
    evaluation = classification_evaluation(np.full((10, 3), 1 / 3), labels, "abc", num_resamples=0)
    assert evaluation.baseline_accuracy == 0.6
    assert evaluation.baseline["loss"] == pytest.approx(
        -(0.6 * np.log(0.6) + 0.3 * np.log(0.3) + 0.1 * np.log(0.1))
    )
    assert evaluation.baseline["roc_auc"] == 0.5
    assert evaluation.baseline["mcc"] == 0


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    # 1,000 samples of 200 coin flips; every interval from the same draws of examples.
    generator = np.random.default_rng(0)
    flips = (generator.random((1000, 200)) < 0.8).astype(float)
    (weights,) = resample_weights(200, 1000, seed=1)
    means = flips @ weights.T / 200
    covered = 0
    for flip, samples in zip(flips, means, strict=True):
        found = interval(flip.mean(), samples)
        covered += found.low <= 0.8 <= found.high
    # Nominal 0.95; the percentile interval of 200 flips covers 0.944 in theory, and 1,000 samples
    # tell that within three standard errors of 0.007.
    assert 0.92 <= covered / 1000 <= 0.97


def test_a_class_without_examples_is_shown_with_no_support():
    evaluation = classification_evaluation(np.eye(3)[[0, 1]], np.array([0, 1]), "abc")
    assert evaluation.per_class["c"]["support"] == 0
    assert np.isnan(evaluation.per_class["c"]["roc_auc"])
    assert "No example is 'c'" in str(evaluation)


def test_a_single_class_in_the_split_is_measured_as_far_as_it_can_be():
    probabilities, _ = _random_answers(0)
    evaluation = classification_evaluation(probabilities, np.zeros(40, int), "abcd")
    assert np.isnan(evaluation.metrics["roc_auc"])
    assert evaluation.accuracy == (probabilities.argmax(1) == 0).mean()
    assert "Every example is 'a'" in str(evaluation)
    right = classification_evaluation(np.eye(2)[[0, 0]], np.zeros(2, int), "ab")
    assert np.isnan(right.metrics["kappa"])


def test_shapes_that_disagree_and_nan_are_refused():
    with pytest.raises(ShapeError, match=r"\(2, 3\)"):
        classification_evaluation(np.eye(2), np.array([0, 1]), "abc")
    broken = np.eye(2)
    broken[1] = np.nan
    with pytest.raises(DataError, match=r"NaN or infinity for 1 of 2 examples.*number 1"):
        classification_evaluation(broken, np.array([0, 1]), "ab")
    with pytest.raises(DataError, match=r"in \[0, 2\)"):
        classification_evaluation(np.eye(2), np.array([0, 2]), "ab")


def test_an_evaluation_survives_json():
    probabilities, labels = _random_answers(0)
    evaluation = classification_evaluation(probabilities, labels, "abcd", num_resamples=5)
    again = Evaluation.from_json(evaluation.to_json())
    assert again.to_json() == evaluation.to_json()
    assert str(again) == str(evaluation)


def test_the_confusion_matrix_can_be_drawn():
    probabilities, labels = _random_answers(0)
    figure = classification_evaluation(probabilities, labels, ["a", "b", "c", "d"]).plot()
    assert figure.axes[0].get_ylabel() == "true class"
