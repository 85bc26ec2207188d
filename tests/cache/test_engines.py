"""The fastest engine runs the trunk, and only if it gives Keras' numbers."""

import os
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from tftune.cache import engines, litert
from tftune.cache.engines import choose_engine, engine_for
from tftune.cache.store import ActivationStore
from tftune.cache.trunk_pass import boundary_activations, planned_engine
from tftune.data.pipeline import image_batches
from tftune.errors import ConfigError


class Small:
    """A trunk of three layers."""

    flops = 0

    def __init__(self, *layers):
        self.keras_model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
        network = self.keras_model
        spec = tf.TensorSpec((None, 8, 8, 3), tf.float32)
        self.forward = tf.function(lambda x: network(x, training=False), input_signature=[spec])


@pytest.fixture(scope="module")
def small():
    return Small(
        keras.layers.DepthwiseConv2D(3),
        keras.layers.BatchNormalization(),
        keras.layers.GlobalAveragePooling2D(),
    )


@pytest.fixture(scope="module")
def sample():
    return np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)


def seconds(monkeypatch, tensorflow, converted):
    """Script what the measurement sees, in seconds an example."""
    by_name = {"tensorflow": tensorflow, "litert": converted}

    def scripted(run, inputs, rounds=3):
        return [by_name[engine.name] for engine in run]

    monkeypatch.setattr(engines, "_seconds", scripted)


def test_the_faster_engine_is_chosen_and_kept(small, sample, tmp_path, monkeypatch):
    seconds(monkeypatch, tensorflow=1.0, converted=0.5)
    chosen = engine_for(small, sample, 10_000, tmp_path)
    assert chosen.name == "litert"
    assert chosen.reason.startswith("500.0 ms an example against 1000.0 with TensorFlow")
    np.testing.assert_allclose(chosen(sample), small.forward(sample), atol=1e-5)
    monkeypatch.setattr(litert, "convert", None)  # what is kept needs no conversion
    again = engine_for(small, sample, 1, tmp_path)
    assert again.name == "litert" and "converted before" in again.reason
    np.testing.assert_array_equal(again(sample), chosen(sample))
    assert choose_engine(small, 1, tmp_path).certain


def test_a_slower_conversion_is_not_tried_twice(small, sample, tmp_path, monkeypatch):
    seconds(monkeypatch, tensorflow=0.5, converted=0.75)
    assert engine_for(small, sample, 10_000, tmp_path).name == "tensorflow"
    monkeypatch.setattr(litert, "convert", None)
    again = engine_for(small, sample, 10_000, tmp_path)
    assert again.name == "tensorflow" and "not faster" in again.reason
    assert str(choose_engine(small, 10_000, tmp_path)).startswith("tensorflow: LiteRT is not")
    two_days_on = time.time() + 2 * 86400
    monkeypatch.setattr(engines.time, "time", lambda: two_days_on)
    assert choose_engine(small, 10_000, tmp_path).name == "litert"


def test_few_rows_are_run_without_a_measurement(small, sample, monkeypatch):
    monkeypatch.setattr(engines, "_seconds", None)
    chosen = engine_for(small, sample, 4)
    assert chosen.name == "tensorflow" and "too few" in chosen.reason
    assert choose_engine(small, 4).name == "tensorflow"
    assert choose_engine(small, 10_000).name == "litert"


def test_a_small_trunk_is_measured_from_more_rows_on(small, sample, monkeypatch):
    seconds(monkeypatch, tensorflow=1.0, converted=0.5)
    assert choose_engine(small, 100).name == "litert"
    monkeypatch.setattr(small, "flops", 60_000_000, raising=False)  # EfficientNet-Lite0, 64 pixels
    assert "too few" in choose_engine(small, 250).reason
    assert engine_for(small, sample, 250).name == "tensorflow"
    assert choose_engine(small, 2000).name == "litert"


def test_a_quick_trunk_is_not_converted(small, sample, monkeypatch):
    seconds(monkeypatch, tensorflow=0.001, converted=0.0)
    monkeypatch.setattr(litert, "convert", None)
    chosen = engine_for(small, sample, 100)
    assert chosen.name == "tensorflow" and "sooner" in chosen.reason


def test_other_numbers_than_kerass_mean_tensorflow(small, sample, tmp_path, monkeypatch):
    seconds(monkeypatch, tensorflow=1.0, converted=0.5)
    other = Small(keras.layers.DepthwiseConv2D(3), keras.layers.GlobalAveragePooling2D())
    wrong = litert.convert(litert.folded(other.keras_model))
    monkeypatch.setattr(litert, "convert", lambda concrete: wrong)
    chosen = engine_for(small, sample, 10_000, tmp_path)
    assert chosen.name == "tensorflow" and "differs from Keras" in chosen.reason
    assert litert.kept_engine(tmp_path) is None


def test_what_cannot_be_converted_runs_in_tensorflow(sample, tmp_path, monkeypatch):
    seconds(monkeypatch, tensorflow=1.0, converted=0.5)

    def in_python(inputs):
        return tf.py_function(lambda y: y, [inputs], tf.float32)

    odd = Small(keras.layers.Lambda(in_python, output_shape=(8, 8, 3)))
    chosen = engine_for(odd, sample, 10**6, tmp_path)
    assert chosen.name == "tensorflow" and "cannot run" in chosen.reason
    assert chosen(sample).shape == sample.shape


def test_a_damaged_conversion_is_ignored(small, sample, tmp_path, monkeypatch):
    seconds(monkeypatch, tensorflow=1.0, converted=0.5)
    engine_for(small, sample, 10_000, tmp_path)
    kept = tmp_path / "litert.npz"
    content = bytearray(kept.read_bytes())
    # Inside the converted model; elsewhere it may be the archive's own padding, which is harmless.
    content[content.index(b"TFL3") + 100] ^= 0xFF
    kept.write_bytes(content)
    assert litert.kept_engine(tmp_path) is None
    assert engine_for(small, sample, 10_000, tmp_path).name == "litert"


def test_time_in_which_other_programs_had_the_cores_does_not_count(sample):
    class Waits:
        name = "litert"

        def __call__(self, inputs):
            time.sleep(0.2)

    (seconds,) = engines._seconds([Waits()], sample, rounds=1)
    assert seconds < 0.2 / len(sample) / (os.cpu_count() or 1)


def test_where_there_is_a_gpu_tensorflow_runs(small, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["one"])
    assert "GPU" in str(choose_engine(small, 10_000))


def test_an_unknown_engine_is_refused(small, sample):
    with pytest.raises(ConfigError, match="Did you mean 'litert'"):
        engine_for(small, sample, 10, engine="liter")


def test_both_engines_agree_on_real_weights(pretrained_model, stripes, tmp_path):
    """Float32 sums in another order: 1e-4 of the largest, derived at `litert.TOLERANCE`."""
    trunk, _ = pretrained_model.cut("pooled")
    both = [
        boundary_activations(
            trunk, stripes.train.examples, store=ActivationStore(tmp_path / name), engine=name
        )
        for name in ("tensorflow", "litert")
    ]
    assert [activations.engine for activations in both] == ["tensorflow", "litert"]
    pixels = np.concatenate(list(image_batches(stripes.train.examples, trunk.contract)))
    expected = trunk.keras_model.predict(pixels, verbose=0)
    for activations in both:
        difference = litert.relative_difference(expected, np.asarray(activations))
        assert difference <= litert.TOLERANCE


def test_a_plan_can_ask_what_would_run(pretrained_model, stripes, tmp_path):
    trunk, _ = pretrained_model.cut("pooled")
    store = ActivationStore(tmp_path)
    choice, count = planned_engine(trunk, stripes.train.examples, store=store)
    assert (choice.name, count) == ("tensorflow", 18)
    assert list(tmp_path.iterdir()) == []
    boundary_activations(trunk, stripes.train.examples.take(np.arange(7)), store=store)
    assert planned_engine(trunk, stripes.train.examples, store=store)[1] == 11
