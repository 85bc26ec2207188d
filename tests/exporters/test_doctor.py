"""The doctor finds what phones stumble over, in any file."""

import io
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from tftune.errors import ExportError
from tftune.exporters.doctor import diagnose
from tftune.exporters.flatbuffer_tables import Byte, pack
from tftune.exporters.tflite_contents import inspect_tflite, prove_integer
from tftune.exporters.tflite_metadata import (
    OutputNotes,
    attach,
    describe_image_model,
    read_metadata,
)

SCORE = [OutputNotes("score", "The probability of each class.", "labels.txt")]
CLASSES = ["chat noir", "chien, gros", "йцу"]


def _convert(function, *specs, **settings):
    holder = tf.Module()
    holder.call = tf.function(function, input_signature=specs)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [holder.call.get_concrete_function()], holder
    )
    for name, value in settings.items():
        setattr(converter, name, value)
    return converter.convert()


@pytest.fixture(scope="module")
def plain():
    """A float model from one image to three scores, without metadata."""
    weights = tf.constant(np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32))

    def scores(image):
        return tf.nn.softmax(tf.reduce_mean(image, [1, 2]) @ weights)

    return _convert(scores, tf.TensorSpec((1, 8, 8, 3), tf.float32))


def _image_metadata(
    normalisation=((0.0,), (1.0,)), output_name="score", files=(("labels.txt", 2),)
):
    image = {0: "image", 3: {0: Byte(2), 1: {0: Byte(1, signed=True)}}}
    if normalisation:
        image[4] = [{0: Byte(1), 1: {0: list(normalisation[0]), 1: list(normalisation[1])}}]
    score = {6: [{0: name, 2: Byte(kind, signed=True)} for name, kind in files]}
    if output_name:
        score[0] = output_name
    return pack({0: "m", 3: [{2: [image], 3: [score]}]}, b"M001")


def _rules(tmp_path, content):
    (tmp_path / "m.tflite").write_bytes(content)
    return {finding.rule for finding in diagnose(tmp_path / "m.tflite").findings}


LABELS = {"labels.txt": "\n".join(CLASSES)}


def test_a_file_as_tftune_writes_it_is_healthy(plain, tmp_path):
    about = describe_image_model("m", "d", SCORE, normalised=True)
    assert _rules(tmp_path, attach(plain, about, LABELS)) == set()
    assert diagnose(tmp_path / "m.tflite").healthy


def test_metadata_is_read_as_it_was_written(plain):
    about = describe_image_model("animals", "d", SCORE, normalised=True)
    metadata = read_metadata(attach(plain, about, LABELS))
    assert metadata.name == "animals"
    assert metadata.inputs[0].mean == (0.0,)
    assert metadata.inputs[0].std == (1.0,)
    assert metadata.outputs[0].files == (("labels.txt", 2),)
    assert metadata.files["labels.txt"].decode().split("\n") == CLASSES


def test_writing_metadata_again_replaces_it(plain):
    once = attach(plain, describe_image_model("a", "", SCORE, normalised=True), {})
    twice = attach(once, describe_image_model("b", "", SCORE, normalised=True), {})
    assert read_metadata(twice).name == "b"


@pytest.mark.parametrize(
    ("metadata", "files", "rule"),
    [
        (None, {}, "metadata-missing"),
        (_image_metadata(normalisation=None), LABELS, "normalisation-missing"),
        (
            _image_metadata(normalisation=((1.0, 2.0, 3.0), (1.0, 1.0, 1.0))),
            LABELS,
            "normalisation-per-channel",
        ),
        (_image_metadata(output_name=""), LABELS, "output-name"),
        (_image_metadata(), {"labels.txt": "cat\ndog"}, "label-count"),
        (_image_metadata(), {}, "files-missing"),
        (_image_metadata(files=()), {}, "labels-missing"),
        (
            _image_metadata(files=(("labels.txt", 2), ("calibration.txt", 4))),
            {**LABELS, "calibration.txt": "1,1,0\n1,1,0\n1,1,0\n"},
            "calibration-lines",
        ),
    ],
)
def test_each_breach_is_named(plain, tmp_path, metadata, files, rule):
    content = plain if metadata is None else attach(plain, metadata, files)
    assert rule in _rules(tmp_path, content)


def test_a_second_subgraph_is_named(tmp_path):
    def doubled(image):
        return tf.while_loop(
            lambda i, x: i < 3, lambda i, x: (i + 1, x * 2.0), (0, tf.reduce_mean(image, [1, 2]))
        )[1]

    content = _convert(doubled, tf.TensorSpec((1, 8, 8, 3), tf.float32))
    assert "subgraphs" in _rules(tmp_path, content)


def test_compressed_files_are_named(plain, tmp_path):
    content = io.BytesIO(attach(plain, _image_metadata(), {}))
    with zipfile.ZipFile(content, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.txt", "\n".join(CLASSES))
    assert _rules(tmp_path, content.getvalue()) == {"files-compressed"}


def test_shapes_a_phone_cannot_feed_are_named(tmp_path):
    def total(image):
        return tf.reduce_sum(image, [1, 2])

    batch = _convert(total, tf.TensorSpec((4, 8, 8, 1), tf.float32))
    (tmp_path / "m.tflite").write_bytes(batch)
    problems = " ".join(f.problem for f in diagnose(tmp_path / "m.tflite").findings)
    assert "fixed at 4" in problems
    assert "1 channels" in problems
    assert "image-shape" in _rules(
        tmp_path, _convert(total, tf.TensorSpec((1, None, None, 3), tf.float32))
    )


def test_token_ids_of_the_wrong_type_are_named(tmp_path):
    def embed(ids):
        return tf.cast(ids, tf.float32)[:, :2]

    assert {"text-type", "metadata-missing"} <= _rules(
        tmp_path, _convert(embed, tf.TensorSpec((1, 8), tf.int64))
    )


def test_an_integer_file_with_float_operators_is_named_and_not_proved(tmp_path):
    """The converter is given uint8 ends but keeps the operators in floating point."""

    def scores(image):
        return tf.nn.softmax(tf.reduce_mean(tf.cast(image, tf.float32), [1, 2]))

    content = _convert(scores, tf.TensorSpec((1, 8, 8, 3), tf.uint8))
    assert "float-fallback" in _rules(tmp_path, content)
    with pytest.raises(ExportError, match="SOFTMAX"):
        prove_integer(inspect_tflite(content))


@pytest.mark.parametrize("content", [b"", b"not a model", b"\0\0\0\0TFL3", b"\xff" * 64])
def test_what_is_no_tflite_file_is_refused_in_a_sentence(tmp_path, content):
    (tmp_path / "m.tflite").write_bytes(content)
    with pytest.raises(ExportError, match=r"m\.tflite"):
        diagnose(tmp_path / "m.tflite")


def test_a_truncated_file_is_refused_and_never_a_traceback(plain, tmp_path):
    for length in range(8, len(plain), 97):
        (tmp_path / "m.tflite").write_bytes(plain[:length])
        try:
            diagnose(tmp_path / "m.tflite")
        except ExportError:
            continue


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ExportError, match="cannot be read"):
        diagnose(tmp_path / "none.tflite")
