"""Evaluating runs the model on the split's own files."""

import numpy as np
import pytest

import tftune
from tftune.data.dataset import Split
from tftune.errors import DataError, ModelFileError
from tftune.results.predictions import Predictions


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


def test_the_answers_are_kept_with_what_they_are_about(pretrained_model, stripes, tmp_path):
    evaluation = tftune.evaluate(pretrained_model, stripes.test)
    kept = evaluation.predictions
    assert kept.names == stripes.test.examples.names
    assert (kept.labels == stripes.test.labels).all()
    exact = pretrained_model.outputs_from_logits(kept.logits)
    np.testing.assert_allclose(kept.outputs, exact, rtol=1e-6)
    kept.save(tmp_path / "p.npz")
    again = Predictions.load(tmp_path / "p.npz")
    assert again.fingerprints == kept.fingerprints
    assert (again.outputs == kept.outputs).all()
    assert again.names[0].count("/") == 1  # a run may be shown around: no places of this machine


def test_predictions_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "p.npz").write_bytes(b"no")
    with pytest.raises(ModelFileError, match=r"p\.npz"):
        Predictions.load(tmp_path / "p.npz")
