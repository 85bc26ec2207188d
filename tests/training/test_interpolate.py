"""The mix of weights that is kept validates best, however sure of itself it is."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from tftune.config.model_spec import HeadSpec
from tftune.data.targets import Target
from tftune.training.callbacks import assign
from tftune.training.interpolate import best_mix, best_temperatures
from tftune.training.losses import head_loss
from tftune.training.objective import Objective

HEAD = HeadSpec("label", "multiclass", ("a", "b", "c"), "logits", "probabilities")
OBJECTIVE = Objective([HEAD], {"label": head_loss(HEAD)}, {"label": 1.0})


@pytest.fixture
def scene():
    """A head on 60 examples with features that tell the classes apart, and noise."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 60)
    features = np.eye(3)[labels] + generator.normal(size=(60, 3))
    rows = np.concatenate([features, generator.normal(size=(60, 3))], axis=1).astype(np.float32)
    top = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, name="logits")])
    model = SimpleNamespace(keras_model=top, spec=SimpleNamespace(heads=(HEAD,)))
    model.spec.logits_layer = "logits"
    target = Target("label", "multiclass", HEAD.class_names, labels)
    split = SimpleNamespace(labels=labels, targets=(target,))
    cut = SimpleNamespace(top=top, model=model, logits=lambda split: np.asarray(top(rows)))
    return cut, split


def _kernel(informative, noise):
    kernel = np.concatenate([informative * np.eye(3), noise * np.ones((3, 3))])
    return [kernel.astype(np.float32), np.zeros(3, np.float32)]


def test_better_features_are_kept_although_they_come_too_sure(scene):
    cut, split = scene
    before, after = _kernel(0.1, 0.0), _kernel(8.0, 0.0)
    before[0][3:] = np.random.default_rng(1).normal(size=(3, 3))  # listens to noise
    assign(cut.top.trainable_variables, before)
    first = cut.logits(split)
    assign(cut.top.trainable_variables, after)
    plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    assert plain(split.labels, cut.logits(split)) > plain(split.labels, first)
    logits, share = best_mix(cut, split, before, first, OBJECTIVE)
    assert share == 1.0
    np.testing.assert_allclose(cut.logits(split), logits, rtol=1e-5, atol=1e-5)
    assert plain(split.labels, logits) < plain(split.labels, first)  # cooled
    left = best_temperatures(OBJECTIVE, split, logits)[1]
    assert left.get("label", 1.0) == pytest.approx(1, abs=0.01)


def test_a_phase_that_learnt_nothing_leaves_the_weights_bit_identical(scene):
    cut, split = scene
    before, after = _kernel(1.0, 0.0), _kernel(0.0, 0.0)
    after[0][:] = np.random.default_rng(1).normal(size=(6, 3)) * 5
    assign(cut.top.trainable_variables, before)
    first = cut.logits(split)
    assign(cut.top.trainable_variables, after)
    logits, share = best_mix(cut, split, before, first, OBJECTIVE)
    assert share == 0.0
    for variable, value in zip(cut.top.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    np.testing.assert_array_equal(logits, first)
