"""A model's cost is measured beside that of its exports."""

import keras
import numpy as np
import pytest

import tftune
from tftune.errors import ConfigError, ExportError


@pytest.fixture(scope="module")
def tiny_model():
    inputs = keras.Input((32, 32, 3))
    convolved = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    data = tftune.load_image_arrays(
        np.zeros((4, 32, 32, 3), np.uint8), [0, 1, 0, 1], ["a", "b"], validation_share=0
    )
    return tftune.build_image_classifier(
        keras.Model(inputs, convolved), data, image_size=(32, 32), preprocessing="inside"
    )


def test_every_form_has_its_size_latency_and_throughput(tiny_model, tmp_path):
    phone = tftune.export_tflite(tiny_model, tmp_path / "m.tflite")
    served = tftune.export_saved_model(tiny_model, tmp_path / "served")
    report = tftune.measure_cost(tiny_model, [phone.path, served.path], repeats=3, batch_size=4)
    assert [form.runtime.split()[0] for form in report.forms] == ["Keras", "LiteRT", "TensorFlow"]
    for form in report.forms:
        assert form.size_bytes > 1000
        assert 0 < form.median_ms <= form.p95_ms
        assert form.images_per_second > 0
    # 3 x 3 x 3 x 4 weights and 4 biases; 4 x 2 and 2 in the head.
    assert report.parameters == 112 + 10
    assert report.flops == 2 * 108 * 32 * 32 + 2 * 8
    assert "LiteRT" in str(report)


def test_what_cannot_be_measured_is_named(tiny_model, tmp_path):
    with pytest.raises(ExportError, match=r"nothing\.tflite"):
        tftune.measure_cost(tiny_model, [tmp_path / "nothing.tflite"], repeats=1, batch_size=1)
    with pytest.raises(ConfigError, match="at least 1"):
        tftune.measure_cost(tiny_model, repeats=0)
