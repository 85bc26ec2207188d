"""Metrics of multilabel and regression heads are scikit-learn's, on what is known."""

import numpy as np
import pytest
from sklearn import metrics

from tftune.errors import DataError, ShapeError
from tftune.evaluation.bootstrap import resample_weights
from tftune.evaluation.multilabel_metrics import multilabel_evaluation
from tftune.evaluation.regression_metrics import _Errors, regression_evaluation


@pytest.fixture
def generator():
    return np.random.default_rng(0)


def test_multilabel_figures_are_those_of_scikit_learn(generator):
    labels = (generator.random((50, 3)) > 0.6).astype(np.float32)
    probabilities = np.clip(0.4 * labels + 0.6 * generator.random((50, 3)), 0, 1)
    evaluation = multilabel_evaluation(probabilities, labels, ["a", "b", "c"], num_resamples=50)
    guessed = probabilities > 0.5
    for average in ("macro", "micro", "weighted"):
        for name in ("precision", "recall", "f1"):
            expected = getattr(metrics, f"{name}_score")(labels, guessed, average=average)
            assert evaluation.metrics[f"{average}_{name}"] == pytest.approx(expected)
    expected = metrics.roc_auc_score(labels, probabilities, average="macro")
    assert evaluation.metrics["roc_auc"] == pytest.approx(expected)
    assert evaluation.metrics["subset_accuracy"] == metrics.accuracy_score(labels, guessed)
    hamming = metrics.hamming_loss(labels, guessed)
    assert evaluation.metrics["label_accuracy"] == pytest.approx(1 - hamming)
    assert set(evaluation.intervals) == set(evaluation.metrics) == set(evaluation.baseline)
    expected = metrics.average_precision_score(labels, probabilities, average="macro")
    assert evaluation.metrics["mean_average_precision"] == pytest.approx(expected)
    for name, interval in evaluation.intervals.items():
        assert interval.low <= evaluation.metrics[name] <= interval.high, name
    assert evaluation.headline == "macro_f1"
    assert "AP" in str(evaluation)


def test_unknown_labels_are_left_out(generator):
    labels = (generator.random((40, 2)) > 0.5).astype(np.float32)
    probabilities = generator.random((40, 2))
    known = multilabel_evaluation(probabilities[:30], labels[:30], ["a", "b"], num_resamples=5)
    labels[30:] = np.nan
    some = multilabel_evaluation(probabilities, labels, ["a", "b"], num_resamples=5)
    assert some.metrics == pytest.approx(known.metrics)
    assert some.num_examples == 30


def test_regression_figures_are_those_of_scikit_learn(generator):
    values = generator.normal(50, 10, (60, 2))
    predictions = values + generator.normal(0, 3, (60, 2))
    evaluation = regression_evaluation(predictions, values, ["x", "y"], num_resamples=50)
    expected = {
        "mae": metrics.mean_absolute_error(values, predictions),
        "rmse": metrics.root_mean_squared_error(values, predictions),
        "r2": metrics.r2_score(values, predictions),
    }
    for name, share in {"median_error": 0.5, "p90_error": 0.9, "p95_error": 0.95}.items():
        errors = np.abs(values - predictions)
        expected[name] = np.quantile(errors, share, axis=0, method="inverted_cdf").mean()
    assert evaluation.metrics == pytest.approx(expected)
    assert evaluation.baseline["r2"] == pytest.approx(0)
    assert set(evaluation.intervals) == set(evaluation.metrics)
    assert evaluation.to_json()["per_class"]["x"]["support"] == 60
    values[10:, 1] = np.nan
    partly = regression_evaluation(predictions, values, ["x", "y"], num_resamples=5)
    expected_y = metrics.r2_score(values[:10, 1], predictions[:10, 1])
    assert partly.per_class["y"]["r2"] == pytest.approx(expected_y)


def test_regression_figures_on_a_resample_are_those_of_its_examples(generator):
    values = generator.normal(50, 10, (40, 1))
    predictions = values + generator.normal(0, 3, (40, 1))
    (weights,) = resample_weights(40, 4)
    figures = _Errors(predictions, values, np.ones((40, 1), bool))(weights)
    for row, counts in enumerate(weights.astype(int)):
        chosen = np.repeat(np.arange(40), counts)
        expected = regression_evaluation(
            predictions[chosen], values[chosen], ["x"], num_resamples=0
        )
        for name, column in figures.items():
            assert column[row] == pytest.approx(expected.metrics[name]), name


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ShapeError, match="must both have shape"):
        regression_evaluation(np.zeros((3, 2)), np.zeros((3, 1)), ["x", "y"])
    with pytest.raises(DataError, match="hold NaN"):
        regression_evaluation(np.full((3, 1), np.nan), np.zeros((3, 1)), ["x"])
    with pytest.raises(DataError, match="No label is known"):
        multilabel_evaluation(np.zeros((3, 1)), np.full((3, 1), np.nan), ["x"])
