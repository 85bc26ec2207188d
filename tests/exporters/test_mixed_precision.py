"""Selective quantization keeps in float32 what eight bits resolve badly, and says so."""

import importlib.util

import keras
import numpy as np
import pytest

import tftune
from tftune.config.image_input import ImageInput
from tftune.config.model_spec import HeadSpec, ModelSpec
from tftune.data.dataset import Split
from tftune.errors import ConfigError, ExportError
from tftune.exporters import image_phone
from tftune.exporters.litert import LiteRtModel
from tftune.exporters.tflite_contents import inspect_tflite

SIDE = 16
installed = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_quantizer") is None,
    reason="the extra `quantize` is not installed here",
)


@pytest.fixture(scope="module")
def model():
    """Swish and squeeze-and-excite, whose products eight bits resolve badly."""
    keras.utils.set_random_seed(5)
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = keras.layers.Rescaling(1 / 255, name="preprocessing")(image)
    x = keras.layers.Conv2D(16, 3, strides=2, activation="swish", name="stem")(x)
    squeezed = keras.layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(x)
    gate = keras.layers.Conv2D(16, 1, activation="sigmoid", name="gate")(squeezed)
    x = keras.layers.Multiply(name="excite")([x, gate])
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
    outputs = keras.layers.Softmax(name="probabilities")(keras.layers.Dense(3, name="logits")(x))
    head = HeadSpec("label", "multiclass", ("diagonal", "horizontal", "vertical"), "logits", "p")
    spec = ModelSpec("own", ImageInput((SIDE, SIDE)), "excite", "pooled", (head,))
    return tftune.TransferModel(keras.Model(image, outputs), spec)


@installed
def test_convolutions_are_integers_and_the_rest_is_not(model, stripes, tmp_path, capfd):
    export = tftune.export_tflite(
        model,
        tmp_path / "m.tflite",
        quantize="mixed",
        verify=stripes.validation,
        calibration=stripes.train,
        max_drop=1.0,
    )
    contents = inspect_tflite((tmp_path / "m.tflite").read_bytes())
    floats = {operator.name for operator in contents.float_operators}
    assert {"MUL", "SOFTMAX"} <= floats
    assert not {"CONV_2D", "FULLY_CONNECTED"} & floats
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.float32)
    answer = LiteRtModel(export.path)(pixels)[0]
    # Activations of the two convolutions and the dense layer rounded to 1/255 of their range.
    np.testing.assert_allclose(answer, model.predict_probabilities(pixels[None])[0], atol=0.05)
    assert export.certificate.calibration["num_examples"] == len(stripes.train)
    assert "MUL" in export.certificate.notes[0] and "stay in float32" in str(export)
    assert tftune.diagnose(export.path).healthy
    assert "Quantiz" not in capfd.readouterr().out


@installed
def test_where_integers_lose_too_much_mixed_is_tried_and_told(
    model, stripes, tmp_path, monkeypatch
):
    """Full integers are made to answer wrongly, as they do where they collapse."""
    right = image_phone.run_images

    def collapsed(path, split, image_input, heads):
        answers = right(path, split, image_input, heads)
        if inspect_tflite(path.read_bytes()).float_operators:
            return answers
        wrong = {"label": np.eye(3)[(split.labels + 1) % 3]}
        return type(answers)(answers.runtime, wrong, wrong, answers.latency_ms)

    monkeypatch.setattr(image_phone, "run_images", collapsed)
    expected = model.predict(stripes.validation.examples.paths)
    names = stripes.class_names
    answered = [names.index(next(iter(answer))) for answer in expected]
    examples = stripes.validation.examples
    agreed = Split.of_classes("validation", examples, answered, names)
    with pytest.raises(ExportError, match=r"falls by 1\.000.*'mixed'` was tried") as raised:
        tftune.export_tflite(model, tmp_path / "m.tflite", quantize="int8", verify=agreed)
    assert "MB" in str(raised.value)
    assert list(tmp_path.iterdir()) == []
    export = tftune.export_tflite(model, tmp_path / "m.tflite", quantize="auto", verify=agreed)
    outcomes = {row["quantize"]: row["outcome"] for row in export.candidates}
    assert outcomes["int8"].startswith("kept out")
    assert outcomes["mixed"] in ("within budget", "chosen")


def test_without_the_extra_the_sentence_says_how_to_get_it(model, stripes, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name == "ai_edge_quantizer" else find(name, *more),
    )
    with pytest.raises(ConfigError, match=r"tftune\[quantize\]"):
        tftune.export_tflite(
            model, tmp_path / "m.tflite", quantize="mixed", verify=stripes.validation
        )
    assert list(tmp_path.iterdir()) == []
