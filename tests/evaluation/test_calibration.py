"""A planted temperature is found, confidence is measured, and thresholds keep their promise."""

import numpy as np
import pytest

import tftune
from tftune.errors import ConfigError, DataError, ShapeError
from tftune.evaluation.calibration import calibrate_with
from tftune.evaluation.evaluate import evaluate_predictions
from tftune.evaluation.reliability import expected_calibration_error
from tftune.evaluation.temperature import fit_temperature
from tftune.results.evaluation import Evaluation
from tftune.results.predictions import Predictions


def _honest_logits(count, num_classes=5, seed=0):
    """Logits whose softmax is the true distribution that the labels are drawn from."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (count, num_classes))
    # The largest of logits plus Gumbel noise is distributed as their softmax.
    labels = (logits + generator.gumbel(size=logits.shape)).argmax(axis=1)
    return logits, labels


def _softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def _evaluation(outputs, labels, task="multiclass"):
    count = len(outputs)
    predictions = Predictions(
        labels, outputs, None, np.arange(count), ("",) * count, tuple(map(str, range(count)))
    )
    return evaluate_predictions(predictions, task, tuple("abcde"[: outputs.shape[1]]))


@pytest.mark.parametrize("planted", [0.4, 1.0, 3.0])
def test_a_planted_temperature_is_recovered(planted):
    logits, labels = _honest_logits(20_000)
    # The estimate's standard error on so many is 0.8% of the temperature: five of them.
    assert fit_temperature(logits * planted, labels) == pytest.approx(planted, rel=0.04)


def test_a_planted_temperature_of_labels_is_recovered():
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (8000, 3))
    labels = (generator.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(float)
    labels[::7] = np.nan
    assert fit_temperature(2.5 * logits, labels, "multilabel") == pytest.approx(2.5, rel=0.05)


def test_answers_that_are_all_right_do_not_become_certain():
    logits = np.eye(3)[np.arange(60) % 3]
    temperature = fit_temperature(logits, np.arange(60) % 3)
    sure = _softmax(logits / temperature).max()
    assert 0.9 < sure < 1 - 1 / 200


def test_bad_logits_are_refused():
    with pytest.raises(ShapeError, match=r"\(3,\)"):
        fit_temperature(np.zeros((3, 2)), np.zeros(2, int))
    with pytest.raises(DataError, match="NaN"):
        fit_temperature(np.full((3, 2), np.nan), np.zeros(3, int))


def test_the_calibration_error_is_that_of_a_worked_example():
    confidence = np.array([0.9] * 10 + [0.6] * 10)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    labels = np.array([0] * 7 + [1] * 3 + [0] * 6 + [1] * 4)
    # Ten at 0.9 of which 0.7 are right, ten at 0.6 of which 0.6 are: (0.2 + 0) / 2.
    assert expected_calibration_error(probabilities, labels) == pytest.approx(0.1)
    adaptive = expected_calibration_error(probabilities, labels, num_bins=2, adaptive=True)
    assert adaptive == pytest.approx(0.1)
    assert expected_calibration_error(np.eye(2), np.array([0, 1])) == 0


def test_honest_probabilities_are_found_calibrated_and_sharpened_ones_not():
    logits, labels = _honest_logits(5000)
    honest, sharp = (_evaluation(_softmax(scale * logits), labels) for scale in (1, 3))
    assert honest.calibration.error < 0.02
    assert sharp.calibration.error > 0.1
    assert "overconfident" in str(sharp)
    figure = sharp.calibration.plot()
    assert "confidence" in figure.axes[1].get_xlabel()
    again = Evaluation.from_json(sharp.to_json())
    assert again.calibration.to_json() == sharp.calibration.to_json()


def test_calibrating_sets_the_models_temperature_only_where_it_helps(pretrained_model, stripes):
    many = stripes.train.take(np.arange(400) % 18)
    logits, labels = _honest_logits(400, num_classes=3)
    split = tftune.Split.of_classes("validation", many.examples, labels, stripes.class_names)
    try:
        (fit,) = calibrate_with(pretrained_model, split, 2 * logits)
        assert pretrained_model.temperature == fit.temperature == pytest.approx(2, rel=0.25)
        assert fit.loss_after < fit.loss_before
        (few,) = calibrate_with(pretrained_model, split.take(range(20)), 2 * logits[:20])
        assert pretrained_model.temperature == few.temperature == 1
        assert "stays 1" in str(few)
    finally:
        pretrained_model.temperature = 1


def test_a_threshold_is_the_lowest_that_keeps_the_precision():
    logits, labels = _honest_logits(3000)
    evaluation = _evaluation(_softmax(logits), labels)
    thresholds = evaluation.threshold(precision=0.9)
    for index, (name, found) in enumerate(thresholds.by_class.items()):
        scores = evaluation.predictions.outputs[:, index]
        asked = evaluation.predictions.predicted == index
        for limit, enough in ((found.value, True), (found.value - 0.05, False)):
            chosen = asked & (scores >= limit)
            precision = (labels[chosen] == index).mean()
            assert (precision >= 0.9) == enough, name
        assert found.low < found.precision
    sure, unsure = np.eye(5)[0] * 0.99 + 0.002, np.full(5, 0.2)
    assert thresholds.decide(dict(zip("abcde", sure, strict=True))) == "a"
    assert thresholds.decide(dict(zip("abcde", unsure, strict=True))) is None
    assert "precision of 0.9" in str(thresholds)


def test_a_precision_that_is_never_reached_has_no_threshold():
    evaluation = _evaluation(np.full((4, 2), 0.5), np.array([1, 1, 1, 1]))
    assert evaluation.threshold(0.5).by_class["a"].value is None
    with pytest.raises(ConfigError, match="precision"):
        evaluation.threshold(0)


def test_labels_have_thresholds_of_their_own():
    labels = np.array([[1, 0], [1, np.nan], [0, 1], [1, 1]], float)
    outputs = np.array([[0.9, 0.2], [0.8, 0.9], [0.7, 0.8], [0.6, 0.6]])
    evaluation = _evaluation(outputs, labels, "multilabel")
    thresholds = evaluation.threshold(1.0)
    assert thresholds.by_class["a"].value == 0.8
    assert thresholds.by_class["b"].value == 0.6
    assert thresholds.decide({"a": 0.85, "b": 0.5}) == ["a"]


def test_accuracy_rises_as_coverage_falls_on_honest_probabilities():
    logits, labels = _honest_logits(3000)
    curve = _evaluation(_softmax(logits), labels).coverage()
    assert curve.coverage[-1] == 1
    half = curve.accuracy[np.searchsorted(curve.coverage, 0.5)]
    assert half > curve.accuracy[-1] + 0.1
    share, threshold = curve.at(0.9)
    confidence = _softmax(logits).max(axis=1)
    assert (confidence >= threshold).mean() == pytest.approx(share)
    assert curve.at(1.1) == (0, float("inf"))
    assert 0 < curve.risk_area < 1 - curve.accuracy[-1]
    assert "coverage" in curve.plot().axes[0].get_xlabel()
