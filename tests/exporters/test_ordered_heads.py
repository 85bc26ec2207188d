"""A head whose classes are steps of a scale leaves with its own answers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tftune
from tftune.builders.heads import attach_heads, head_specs, pool_features
from tftune.config.image_input import ImageInput
from tftune.config.model_spec import ModelSpec
from tftune.data.dataset import Split
from tftune.data.targets import Target
from tftune.errors import ConfigError

SIDE = 16
GRADES = Target("grade", "multiclass", ("poor", "fair", "good", "fine"), np.array([0, 3, 1]))


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(3)
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = keras.layers.Rescaling(1 / 255, name="preprocessing")(image)
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="block1_conv")(x)
    heads = head_specs((GRADES,), ordered=True)
    network = keras.Model(image, attach_heads(pool_features(x), heads))
    steps = network.get_layer("steps")
    kernel, bias = steps.get_weights()
    steps.set_weights([30 * kernel, bias])  # answers that differ from image to image
    spec = ModelSpec("small", ImageInput((SIDE, SIDE)), "block1_conv", "pooled", heads)
    return tftune.TransferModel(network, spec)


@pytest.fixture(scope="module")
def split(stripes):
    return Split("validation", stripes.validation.examples, (GRADES,))


def test_a_server_gives_the_classes_in_their_order(model, split, tmp_path):
    export = tftune.export_saved_model(model, tmp_path / "m", verify=split)
    assert export.certificate.max_difference <= 1e-5
    loaded = tf.saved_model.load(export.path)
    pixels = np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE, 3)).astype(np.float32)
    answers = loaded.signatures["predict_pixels"](pixels=tf.constant(pixels))
    np.testing.assert_allclose(answers["probabilities"], model.forward(pixels), atol=1e-5)
    assert answers["classes"][0].numpy().tolist() == [b"poor", b"fair", b"good", b"fine"]


@pytest.mark.parametrize("quantize", ["none", "float16", "dynamic"])
def test_a_phone_gives_the_models_answers(model, split, tmp_path, quantize):
    export = tftune.export_tflite(
        model, tmp_path / "m.tflite", quantize=quantize, verify=split, max_drop=1.0
    )
    # Every constant of this network is too small to be rounded.
    assert export.certificate.max_difference <= 1e-5
    assert tftune.diagnose(export.path).healthy


def test_its_logarithms_do_not_fit_into_eight_bits(model, split, tmp_path):
    with pytest.raises(ConfigError, match=r"ordered head \(grade\).*'mixed'"):
        tftune.export_tflite(model, tmp_path / "m.tflite", quantize="int8", verify=split)
    assert list(tmp_path.iterdir()) == []
    pytest.importorskip("ai_edge_quantizer", reason="the extra `quantize` is not installed here")
    export = tftune.export_tflite(
        model, tmp_path / "m.tflite", quantize="mixed", verify=split, max_drop=1.0
    )
    # The answers to the steps are 8-bit, the logarithms are not.
    assert export.certificate.max_difference < 0.05
