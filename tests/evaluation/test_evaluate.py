"""Evaluating runs the model on the split's own files."""

import numpy as np
import pytest

import tftune
from tftune.data.dataset import Split
from tftune.errors import DataError


def test_the_loss_is_that_of_the_models_own_predictions(pretrained_model, stripes):
    evaluation = tftune.evaluate(pretrained_model, stripes.test)
    answers = pretrained_model.predict(list(stripes.test.examples.paths))
    names = stripes.class_names
    chosen = [a[names[label]] for a, label in zip(answers, stripes.test.labels, strict=True)]
    assert evaluation.metrics["loss"] == pytest.approx(-np.log(chosen).mean(), rel=1e-5)


def test_other_classes_and_empty_splits_are_refused(pretrained_model, stripes):
    other = Split.of_classes(
        "test", stripes.test.examples, stripes.test.labels, ("diagonal", "a", "b")
    )
    with pytest.raises(DataError, match=r"Only in the split: \['a', 'b'\]"):
        tftune.evaluate(pretrained_model, other)
    with pytest.raises(DataError, match="empty"):
        tftune.evaluate(pretrained_model, stripes.test.take([]))
