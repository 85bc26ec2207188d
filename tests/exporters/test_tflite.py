"""A .tflite file gives the model's answers in LiteRT."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tftune
from tftune.config.image_input import ImageInput
from tftune.config.model_spec import HeadSpec, ModelSpec
from tftune.errors import ConfigError, ExportError, OutputExistsError


def _run(path, images):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    answers = []
    for image in images:
        interpreter.set_tensor(source["index"], image[None].astype(source["dtype"]))
        interpreter.invoke()
        answers.append(interpreter.get_tensor(sink["index"])[0])
    return np.stack(answers)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3)).astype(np.float32)


# float32: other order of sums. float16: weights rounded to 11 bits, over some fifty layers.
@pytest.mark.parametrize(("quantize", "tolerance"), [("none", 1e-5), ("float16", 5e-3)])
def test_the_file_agrees_with_keras(pretrained_model, images, tmp_path, quantize, tolerance):
    export = tftune.export_tflite(pretrained_model, tmp_path / "m.tflite", quantize=quantize)
    expected = pretrained_model.predict_probabilities(images)
    np.testing.assert_allclose(_run(export.path, images), expected, atol=tolerance)


def test_int8_takes_and_gives_uint8_and_is_a_third_of_the_size(pretrained_model, stripes, tmp_path):
    whole = tftune.export_tflite(pretrained_model, tmp_path / "float.tflite")
    small = tftune.export_tflite(
        pretrained_model,
        tmp_path / "int8.tflite",
        quantize="int8",
        calibration=stripes.train,
        verify=stripes.validation,
        max_drop=1.0,  # three images and a head that never learnt
    )
    assert small.size_bytes < 0.35 * whole.size_bytes
    answers = _run(small.path, np.zeros((1, 64, 64, 3)))
    assert answers.dtype == np.uint8
    assert (tmp_path / "int8.tflite.certificate.json").exists()


@pytest.mark.slow
def test_auto_takes_the_smallest_form_within_the_drop_and_shows_all(
    pretrained_model, stripes, tmp_path
):
    export = tftune.export_tflite(
        pretrained_model,
        tmp_path / "m.tflite",
        quantize="auto",
        verify=stripes.validation,
        calibration=stripes.train,
        max_drop=1.0,
    )
    assert [row["quantize"] for row in export.candidates] == ["none", "float16", "dynamic", "int8"]
    within = [row for row in export.candidates if not row["outcome"].startswith("kept out")]
    smallest = min(within, key=lambda row: row["size_bytes"])
    assert smallest["outcome"] == "chosen"
    assert export.quantize == smallest["quantize"]
    assert (tmp_path / "m.tflite").stat().st_size == export.size_bytes == smallest["size_bytes"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.tflite", "m.tflite.certificate.json"]
    assert "chosen" in str(export)


def test_an_export_past_its_budget_is_refused_unless_allowed(
    tiny_model, stripes, tmp_path, monkeypatch
):
    """The file is replaced by one that answers otherwise, as a broken conversion would be."""
    from tftune.exporters import image_phone

    right = image_phone.run_images

    def wrong(path, split, image_input, heads):
        answers = right(path, split, image_input, heads)
        return type(answers)(
            answers.runtime,
            {"label": np.eye(3)[(split.labels + 1) % 3]},
            answers.repeated,
            answers.latency_ms,
        )

    monkeypatch.setattr(image_phone, "run_images", wrong)
    settings = {"verify": stripes.validation}
    with pytest.raises(ExportError, match="a probability differs") as raised:
        tftune.export_tflite(tiny_model, tmp_path / "m.tflite", **settings)
    assert "two runs on the same examples differ" in str(raised.value)
    assert list(tmp_path.iterdir()) == []
    export = tftune.export_tflite(tiny_model, tmp_path / "m.tflite", allow_drop=True, **settings)
    assert export.certificate.overridden
    assert not export.certificate.passed
    assert "in spite of" in str(export)


class _Strange(keras.layers.Layer):
    """Computes what TensorFlow Lite has no operator for."""

    def call(self, inputs):
        return tf.math.igamma(tf.abs(inputs) + 1.0, tf.abs(inputs) + 1.0)


def test_what_cannot_be_converted_is_named_with_its_layer(tmp_path):
    image = keras.Input((8, 8, 3), name="image")
    features = keras.layers.Conv2D(4, 1, name="features")(image)
    pooled = keras.layers.GlobalAveragePooling2D(name="pooled")(_Strange(name="odd")(features))
    logits = keras.layers.Dense(2, name="logits")(pooled)
    outputs = keras.layers.Softmax(name="probabilities")(logits)
    head = HeadSpec("label", "multiclass", ("a", "b"), "logits", "probabilities")
    spec = ModelSpec("own", ImageInput((8, 8)), "features", "pooled", (head,))
    model = tftune.TransferModel(keras.Model(image, outputs), spec)
    with pytest.raises(ExportError, match="no operator for Igamma of layer odd"):
        tftune.export_tflite(model, tmp_path / "m.tflite")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_kept_unless_overwriting_is_asked_for(tiny_model, tmp_path):
    (tmp_path / "m.tflite").write_text("mine")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        tftune.export_tflite(tiny_model, tmp_path / "m.tflite")
    assert (tmp_path / "m.tflite").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "quantize", "sentence"),
    [
        ("m.lite", "none", r"end in '\.tflite'"),
        ("m.tflite", "int9", "Did you mean 'int8'"),
        ("m.tflite", "int8", "needs real images"),
    ],
)
def test_bad_requests_are_refused_before_any_work(tiny_model, tmp_path, name, quantize, sentence):
    with pytest.raises(ConfigError, match=sentence):
        tftune.export_tflite(tiny_model, tmp_path / name, quantize=quantize)
    assert list(tmp_path.iterdir()) == []
