"""Two models are compared on the examples both answered."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import binomtest

from tftune.errors import DataError
from tftune.evaluation.compare import compare
from tftune.evaluation.evaluate import evaluate_predictions
from tftune.evaluation.metrics import classification_evaluation
from tftune.results.predictions import Predictions


def _evaluation(right, task="multiclass", outputs=None, labels=None, start=0):
    right = np.asarray(right, float)
    if outputs is None:
        outputs = np.stack([0.2 + 0.6 * right, 0.8 - 0.6 * right], axis=1)
        labels = np.zeros(len(right), int)
    predictions = Predictions(
        labels=labels,
        outputs=outputs,
        logits=None,
        indices=np.arange(len(outputs)),
        names=tuple(map(str, range(len(outputs)))),
        fingerprints=tuple(f"digest {start + index}" for index in range(len(outputs))),
    )
    names = ("x", "y")[: outputs.shape[1]]
    return evaluate_predictions(predictions, task, names)


def test_the_better_one_is_named_when_mcnemar_is_sure():
    a, b = _evaluation([1] * 80 + [0] * 20), _evaluation([1] * 95 + [0] * 5)
    comparison = compare(a, b, names=("old", "new"))
    assert comparison.better == "new"
    assert comparison.p_value == pytest.approx(binomtest(15, 15).pvalue)
    assert comparison.only_right == (0, 15)
    assert comparison.differences["accuracy"].value == pytest.approx(0.15)
    assert compare(b, a, names=("new", "old")).better == "new"
    assert "new is better for certain: accuracy 0.800 (old)" in str(comparison).replace("\n", " ")


def test_few_differences_are_not_certain():
    comparison = compare(_evaluation([1, 1, 0, 0, 1]), _evaluation([1, 1, 1, 0, 1]))
    assert comparison.better is None
    assert comparison.sentence.startswith("Neither a nor b is better for certain")


def test_examples_are_matched_by_content_in_any_order():
    a, b = _evaluation([1, 0, 1, 1, 0, 1]), _evaluation([0, 1, 0, 1, 1, 1])
    shuffled = dataclasses.replace(b, predictions=b.predictions.take([3, 1, 0, 5, 4, 2]))
    assert compare(a, shuffled).to_json() == compare(a, b).to_json()
    partly = compare(a, dataclasses.replace(b, predictions=b.predictions.take([4, 1, 0])))
    assert partly.num_examples == 3
    assert "share 3 of 6 and 3 examples" in partly.notes[0]


def test_a_smaller_error_is_better_in_regression():
    generator = np.random.default_rng(0)
    values = generator.normal(0, 10, (100, 1))
    near = _evaluation([], "regression", values + generator.normal(0, 1, (100, 1)), values)
    far = _evaluation([], "regression", values + generator.normal(0, 3, (100, 1)), values)
    comparison = compare(near, far, names=("near", "far"))
    assert comparison.better == "near"
    assert comparison.scores["rmse"][1].value == pytest.approx(far.metrics["rmse"])
    assert comparison.p_value is None


def test_what_cannot_be_compared_is_refused():
    a = _evaluation([1, 0, 1])
    with pytest.raises(DataError, match=r"share 0 example"):
        compare(a, _evaluation([1, 0, 1], start=10))
    with pytest.raises(DataError, match="made from figures alone"):
        compare(a, classification_evaluation(np.eye(2), np.array([0, 1]), "xy"))
    with pytest.raises(DataError, match=r"only in b: \['z'\]"):
        compare(a, dataclasses.replace(a, class_names=("x", "z")))
    flipped = dataclasses.replace(a.predictions, labels=1 - a.predictions.labels)
    with pytest.raises(DataError, match="3 of 3 labels differ"):
        compare(a, dataclasses.replace(a, predictions=flipped))
