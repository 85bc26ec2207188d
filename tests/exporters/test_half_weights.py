"""Large weights in half the bytes: what is rounded, what stays, and what a server gets of it."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import tftune
from tftune.config.image_input import ImageInput
from tftune.config.model_spec import HeadSpec, ModelSpec
from tftune.errors import ConfigError, ExportError
from tftune.exporters import served_network
from tftune.exporters.half_weights import MIN_ELEMENTS, halve_weights
from tftune.exporters.image_phone import ImagePhone
from tftune.exporters.litert import LiteRtModel
from tftune.exporters.tflite_contents import inspect_tflite
from tftune.exporters.tflite_conversion import Converter
from tftune.exporters.tflite_tree import is_layer, read_tree

SIDE = 8
LARGE = (256, 128)
assert LARGE[0] * LARGE[1] == MIN_ELEMENTS


@pytest.fixture(scope="module")
def model():
    """One kernel just large enough to be rounded, the others too small."""
    keras.utils.set_random_seed(5)
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = keras.layers.Rescaling(1 / 255, name="preprocessing")(image)
    x = keras.layers.Conv2D(LARGE[0], 3, strides=2, activation="relu", name="small")(x)
    x = keras.layers.Conv2D(LARGE[1], 1, activation="relu", name="large")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
    x = keras.layers.Dense(3, name="logits")(x)
    outputs = keras.layers.Softmax(name="probabilities")(x)
    head = HeadSpec("label", "multiclass", ("diagonal", "horizontal", "vertical"), "logits", "p")
    spec = ModelSpec("own", ImageInput((SIDE, SIDE)), "large", "pooled", (head,))
    return tftune.TransferModel(keras.Model(image, outputs), spec)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3)).astype(np.float32)


def test_large_weights_are_rounded_and_small_ones_are_not(model, tmp_path):
    export = tftune.export_tflite(model, tmp_path / "m.tflite", quantize="float16")
    contents = inspect_tflite((tmp_path / "m.tflite").read_bytes())
    assert contents.counts["DEQUANTIZE"] == 1
    halves = [t for t in contents.tensors if t.dtype == "FLOAT16"]
    assert [int(np.prod(t.shape)) for t in halves] == [MIN_ELEMENTS]
    whole = tftune.export_tflite(model, tmp_path / "whole.tflite")
    saved = whole.size_bytes - export.size_bytes
    assert 2 * MIN_ELEMENTS - 1000 < saved <= 2 * MIN_ELEMENTS


def test_answers_are_those_of_the_rounded_weights(model, pixels, tmp_path):
    """An oracle: Keras with the very kernel rounded by NumPy gives what LiteRT gives."""
    file = tftune.export_tflite(model, tmp_path / "m.tflite", quantize="float16").path
    rounded = keras.models.clone_model(model.keras_model)
    weights = model.keras_model.get_weights()
    large = [w.size >= MIN_ELEMENTS for w in weights]
    assert sum(large) == 1
    rounded.set_weights(
        [
            w.astype(np.float16) if is_large else w
            for w, is_large in zip(weights, large, strict=True)
        ]
    )
    phone = LiteRtModel(file)
    answers = np.stack([phone(image)[0] for image in pixels])
    # Float32 sums in another order.
    np.testing.assert_allclose(answers, rounded.predict(pixels, verbose=0), atol=1e-6)


def test_images_make_up_for_what_rounding_adds_to_each_channel(model):
    """An oracle: the layer's own outputs, averaged over images by NumPy."""
    content = Converter(ImagePhone(model), None).float32()
    pixels = np.random.default_rng(1).integers(0, 256, (20, SIDE, SIDE, 3)).astype(np.float32)
    images = [image[None] for image in pixels]
    below = keras.Model(model.keras_model.input, model.keras_model.get_layer("small").output)
    means = np.asarray(below(pixels), np.float64).mean(axis=(0, 1, 2))
    kernel, bias = model.keras_model.get_layer("large").get_weights()
    shift = means @ (kernel.astype(np.float16).astype(np.float64) - kernel)[0, 0]
    halved, corrected = halve_weights(content, images)
    assert corrected == 1
    expected = bias - shift
    found = min(_biases(halved), key=lambda each: np.abs(each - expected).max())
    assert np.abs(shift).max() > 1e-5
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(shift).max() + 1e-8)


def _biases(content):
    tree = read_tree(content)
    tensors = tree.subgraphs[0].tensors
    for operator in tree.subgraphs[0].operators:
        if is_layer(tree, operator):
            data = bytes(tree.buffers[tensors[operator.inputs[2]].buffer].data)
            values = np.frombuffer(data, np.float32)
            if values.shape == (LARGE[1],):
                yield values


def test_what_float16_cannot_hold_stays_as_it_is(model, tmp_path):
    file = tftune.export_tflite(model, tmp_path / "m.tflite").path
    content = open(file, "rb").read()
    assert halve_weights(content, min_elements=10**9) == (content, 0)
    layer = model.keras_model.get_layer("large")
    kernel, bias = layer.get_weights()
    huge = kernel.copy()
    huge[0, 0, 0, 0] = 1e5  # beyond 65,504
    layer.set_weights([huge, bias])
    try:
        tftune.export_tflite(model, tmp_path / "huge.tflite", quantize="float16")
    finally:
        layer.set_weights([kernel, bias])
    assert "DEQUANTIZE" not in inspect_tflite((tmp_path / "huge.tflite").read_bytes()).counts


@pytest.mark.parametrize(
    ("settings", "tolerance"),
    [
        # Rounding to 11 and 8 bits moves a logit of size one by about its relative rounding error.
        ({"weights_dtype": "float16"}, 2**-11),
        ({"weights_dtype": "bfloat16"}, 2**-8),
        ({"frozen": True}, 1e-6),
        ({"weights_dtype": "float16", "frozen": True}, 2**-11),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, dict) else "",
)
def test_a_server_gets_the_models_answers(model, pixels, tmp_path, settings, tolerance):
    export = tftune.export_saved_model(model, tmp_path / "m", **settings)
    loaded = tf.saved_model.load(export.path)
    answers = loaded.signatures["predict_pixels"](pixels=tf.constant(pixels))["probabilities"]
    np.testing.assert_allclose(answers, model.predict_probabilities(pixels), atol=tolerance)
    embedding = loaded.signatures["embed"](
        image_bytes=tf.constant([tf.io.encode_png(tf.cast(pixels[0], tf.uint8)).numpy()])
    )["embedding"]
    assert embedding.shape == (1, LARGE[1])
    stored = _stored_bytes(export.path)
    if settings.get("frozen"):
        assert stored == 0
    else:
        small = sum(w.nbytes for w in model.keras_model.get_weights() if w.size < MIN_ELEMENTS)
        assert stored == 2 * MIN_ELEMENTS + small


def _stored_bytes(folder):
    """Add up the variables beside a graph."""
    checkpoint = f"{folder}/variables/variables"
    if not Path(f"{checkpoint}.index").exists():
        return 0
    names = [name for name, _ in tf.train.list_variables(checkpoint)]
    values = [tf.train.load_variable(checkpoint, name) for name in names]
    return sum(value.nbytes for value in values if isinstance(value, np.ndarray))


def test_the_signatures_of_a_frozen_graph_share_its_weights(model, tmp_path):
    export = tftune.export_saved_model(model, tmp_path / "m", frozen=True)
    graph = Path(export.path, "saved_model.pb").stat().st_size
    weights = sum(w.nbytes for w in model.keras_model.get_weights())
    plain = Path(tftune.export_saved_model(model, tmp_path / "m").path, "saved_model.pb")
    assert graph < plain.stat().st_size + 1.5 * weights


def test_each_form_is_certified_within_its_own_budget(model, stripes, tmp_path):
    export = tftune.export_saved_model(
        model, tmp_path / "m", weights_dtype="bfloat16", verify=stripes.validation
    )
    assert export.certificate.tolerance == pytest.approx(0.16)
    assert export.certificate.passed
    assert 0 < export.certificate.max_difference < 0.16


def test_an_unknown_type_is_refused_before_any_work(model, tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'bfloat16'"):
        tftune.export_saved_model(model, tmp_path / "m", weights_dtype="bfloat")
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_would_be_too_large_is_refused(model, tmp_path, monkeypatch):
    monkeypatch.setattr(served_network, "_LARGEST_GRAPH", 1000)
    with pytest.raises(ExportError, match="at most 2 GB"):
        tftune.export_saved_model(model, tmp_path / "m", frozen=True)
    assert list(tmp_path.iterdir()) == []
