"""Every backbone in the registry leaves for a server and for a phone with its own answers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tftune
from tftune.builders.presets import PRESETS
from tftune.exporters.litert import LiteRtModel

SIDES = {"inception_v3": 75, "inception_resnet_v2": 75, "xception": 71, "nasnet_large": 331}
DEFAULT = ("efficientnet_lite0",)


def _each_preset():
    for name in sorted(PRESETS):
        marks = () if name in DEFAULT else (pytest.mark.slow,)
        yield pytest.param(name, marks=marks)


def _show_features(model, pixels):
    """Give the head weights that turn features of any size into logits near one.

    Random networks let features vanish or explode; answers would be the same whatever they are.
    """
    pooled = keras.Model(model.keras_model.input, model.keras_model.get_layer("pooled").output)
    features = np.asarray(pooled(pixels, training=False), np.float64)
    kernel = np.random.default_rng(1).normal(size=(features.shape[1], model.num_classes))
    kernel /= np.linalg.norm(features)
    model.keras_model.get_layer("logits").set_weights([kernel, np.zeros(model.num_classes)])


@pytest.mark.parametrize("name", list(_each_preset()))
def test_a_preset_exports_to_both_forms_with_its_own_answers(name, tmp_path):
    preset = PRESETS[name]
    side = SIDES.get(name, 64)
    if name.startswith("nasnet"):
        side = preset.image_size[0]
    model = tftune.build_image_classifier(
        name, class_names=["a", "b", "c"], image_size=(side, side), weights=None
    )
    pixels = np.random.default_rng(0).integers(0, 256, (1, side, side, 3)).astype(np.float32)
    _show_features(model, pixels)
    expected = model.predict_probabilities(pixels)
    served = tftune.export_saved_model(model, tmp_path / "served")
    signature = tf.saved_model.load(served.path).signatures["predict_pixels"]
    received = signature(pixels=tf.constant(pixels))["probabilities"]
    np.testing.assert_allclose(received, expected, atol=1e-5)
    phone = tftune.export_tflite(model, tmp_path / "m.tflite")
    # Sums in another order, over some hundred layers.
    np.testing.assert_allclose(LiteRtModel(phone.path)(pixels[0]), expected, atol=1e-4)
    assert tftune.diagnose(phone.path).healthy
