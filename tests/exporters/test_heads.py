"""Models of every task, and of several heads at once, are exported with all their answers."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import tftune
from tftune.builders.heads import attach_heads, head_specs, pool_features
from tftune.config.image_input import ImageInput
from tftune.config.model_spec import HeadSpec, ModelSpec
from tftune.data.dataset import Split
from tftune.data.targets import Target
from tftune.errors import DataError, ExportError
from tftune.exporters.head_answers import answer_keys, head_slugs
from tftune.exporters.litert import LiteRtModel, run_images
from tftune.exporters.tflite_metadata import read_metadata
from tftune.exporters.verify import verify_export

SIDE = 16
KINDS = Target("kind", "multiclass", ("a", "b", "c"), np.array([0, 1, -1]))
TRAITS = Target(
    "traits (all)", "multilabel", ("thin", "größer"), np.array([[1, 0], [0, 1], [1, np.nan]])
)
SIZES = Target("size", "regression", ("width", "cm²"), np.array([[9.0, 300], [4, 100], [7, 200]]))
WIDTH = Target("width", "regression", ("width",), np.array([[9.0], [4.0], [7.0]]))
EVERY = (KINDS, TRAITS, SIZES)


def _model(targets):
    """Put heads on a backbone of one convolution, with answers that differ from image to image."""
    keras.utils.set_random_seed(3)
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = keras.layers.Rescaling(1 / 255, name="preprocessing")(image)
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="block1_conv")(x)
    heads = head_specs(targets)
    outputs = attach_heads(pool_features(x), heads)
    spec = ModelSpec("small", ImageInput((SIDE, SIDE), "mediapipe"), "block1_conv", "pooled", heads)
    return tftune.TransferModel(keras.Model(image, outputs), spec)


def _split(stripes, targets):
    return Split("validation", stripes.validation.examples, targets)


@pytest.fixture(scope="module")
def model():
    return _model(EVERY)


@pytest.fixture(scope="module")
def split(stripes):
    return _split(stripes, EVERY)


@pytest.fixture(scope="module")
def served(model, split, tmp_path_factory):
    return tftune.export_saved_model(model, tmp_path_factory.mktemp("served") / "m", verify=split)


@pytest.fixture(scope="module")
def phone(model, split, tmp_path_factory):
    return tftune.export_tflite(model, tmp_path_factory.mktemp("phone") / "m.tflite", verify=split)


def _encoded(split):
    return [split.examples.encoded(index, (255, 255, 255)) for index in range(len(split))]


def _example(encoded):
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded]))
    features = tf.train.Features(feature={"image/encoded": feature})
    return tf.train.Example(features=features).SerializeToString()


def _methods(export):
    from tensorflow.core.protobuf import saved_model_pb2

    with open(f"{export.path}/saved_model.pb", "rb") as stream:
        saved = saved_model_pb2.SavedModel.FromString(stream.read())
    return {name: s.method_name for name, s in saved.meta_graphs[0].signature_def.items()}


def test_every_head_is_served_under_its_own_names(served, model, split):
    loaded = tf.saved_model.load(served.path)
    answers = loaded.signatures["serving_default"](image_bytes=tf.constant(_encoded(split)))
    assert set(answers) == {
        *("kind_probabilities", "kind_scores", "kind_classes", "kind_label"),
        *("traits_all_probabilities", "traits_all_scores", "traits_all_classes"),
        *("size_values", "size_names"),
    }
    expected = model.predict(split.examples.paths)
    for index, answer in enumerate(expected):
        for head in model.heads:
            received = answers[answer_keys(model.heads)[head.name]][index].numpy()
            wanted = [answer[head.name][name] for name in head.class_names]
            np.testing.assert_allclose(received, wanted, rtol=1e-5, atol=1e-5)
    assert answers["size_names"][0].numpy().tolist() == [b"width", "cm²".encode()]


def test_each_head_has_the_api_that_takes_its_answers(served, model, split):
    methods = _methods(served)
    assert methods["classify_kind"] == methods["classify_traits_all"]
    assert methods["classify_kind"] == "tensorflow/serving/classify"
    assert methods["regress_size_width"] == "tensorflow/serving/regress"
    assert methods["regress_size_cm"] == "tensorflow/serving/regress"
    assert methods["serving_default"] == "tensorflow/serving/predict"
    loaded = tf.saved_model.load(served.path)
    examples = tf.constant([_example(encoded) for encoded in _encoded(split)])
    found = loaded.signatures["classify_traits_all"](inputs=examples)
    assert set(found) == {"classes", "scores"}
    assert found["scores"].shape == (3, 2)
    widths = loaded.signatures["regress_size_width"](inputs=examples)
    expected = [answer["size"]["width"] for answer in model.predict(split.examples.paths)]
    np.testing.assert_allclose(widths["outputs"], expected, rtol=1e-5)


def test_a_regression_request_gets_one_number_an_example(stripes, tmp_path):
    """The Regress API refuses every output but `outputs`, of shape (batch,) or (batch, 1)."""
    model, split = _model((WIDTH,)), _split(stripes, (WIDTH,))
    export = tftune.export_saved_model(model, tmp_path / "m", verify=split)
    assert _methods(export)["regress"] == "tensorflow/serving/regress"
    assert "classify" not in export.signatures
    loaded = tf.saved_model.load(export.path)
    examples = tf.constant([_example(encoded) for encoded in _encoded(split)])
    answers = loaded.signatures["regress"](inputs=examples)
    assert set(answers) == {"outputs"}
    expected = [answer["width"] for answer in model.predict(split.examples.paths)]
    np.testing.assert_allclose(answers["outputs"], expected, rtol=1e-5)
    assert export.certificate.heads[0].metric == "rmse"
    assert "rmse after" in str(export)


@pytest.mark.parametrize("kind", ["served", "phone"])
def test_the_certificate_has_a_part_for_every_head(kind, request):
    export = request.getfixturevalue(kind)
    certificate = export.certificate
    assert [(head.head, head.task) for head in certificate.heads] == [
        ("kind", "multiclass"),
        ("traits (all)", "multilabel"),
        ("size", "regression"),
    ]
    assert certificate.passed
    assert certificate.max_difference <= 1e-5
    assert [head.agreement for head in certificate.heads] == [1.0, 1.0, None]
    assert "traits (all): macro f1 after" in str(export)
    written = json.loads(json.dumps(certificate.to_json()))
    assert [head["metric"] for head in written["heads"]] == ["accuracy", "macro_f1", "rmse"]


def test_a_phone_file_has_a_named_tensor_with_labels_for_every_head(phone, model, split):
    content = open(phone.path, "rb").read()
    metadata = read_metadata(content)
    assert sorted(notes.name for notes in metadata.outputs) == ["kind", "size", "traits (all)"]
    for notes in metadata.outputs:
        head = next(head for head in model.heads if head.name == notes.name)
        ((file, _),) = notes.files
        assert tuple(metadata.files[file].decode().split("\n")) == head.class_names
    assert tftune.diagnose(phone.path).healthy


def test_outputs_are_told_apart_by_name_not_by_place(phone, model, split, tmp_path):
    """Heads of equal size: if places were mixed up, answers would be swapped unseen."""
    twins = (
        Target("z", "multiclass", ("a", "b"), np.array([0, 1, 1])),
        Target("a", "multiclass", ("c", "d"), np.array([0, 1, 1])),
        Target("m", "multiclass", ("e", "f"), np.array([0, 1, 1])),
    )
    several = _model(twins)
    export = tftune.export_tflite(several, tmp_path / "m.tflite")
    answers = run_images(Path(export.path), split, several.image_input, several.heads)
    expected = several.predict(split.examples.paths)
    for head in several.heads:
        wanted = [[a[head.name][name] for name in head.class_names] for a in expected]
        np.testing.assert_allclose(answers.outputs[head.name], wanted, atol=1e-5)


def test_eight_bits_take_several_heads(model, split, tmp_path):
    export = tftune.export_tflite(
        model, tmp_path / "m.tflite", quantize="int8", verify=split, max_drop=1.0
    )
    assert {len(rows) for rows in LiteRtModel(export.path)(np.zeros((SIDE, SIDE, 3)))} == {2, 3}
    # Heads of one network share the input's 8 bits; each output has a scale of its own.
    assert export.certificate.max_difference < 0.2


@pytest.mark.parametrize("kind", ["served", "phone"])
def test_verifying_needs_no_model_and_measures_every_head(kind, split, request):
    export = request.getfixturevalue(kind)
    verification = verify_export(export.path, split)
    assert verification.passed
    evaluations = (verification.evaluation, *verification.evaluation.others)
    assert [e.task for e in evaluations] == ["multiclass", "multilabel", "regression"]


def test_verifying_with_its_model_compares_every_head(phone, model, split, stripes):
    certificate = verify_export(phone.path, split, model).certificate
    assert [head.head for head in certificate.heads] == ["kind", "traits (all)", "size"]
    with pytest.raises(DataError, match="targets must be the model's"):
        verify_export(phone.path, _split(stripes, (KINDS,)), model)


def test_a_head_that_answers_otherwise_is_named(model, split, tmp_path, monkeypatch):
    from tftune.exporters import certificate

    right = certificate.predict_split

    def shifted(model, split):
        outputs = right(model, split)
        return {**outputs, "size": outputs["size"] + 5}

    monkeypatch.setattr(certificate, "predict_split", shifted)
    with pytest.raises(ExportError, match="a value of 'size' differs"):
        tftune.export_tflite(model, tmp_path / "m.tflite", verify=split)
    assert list(tmp_path.iterdir()) == []


def test_mediapipe_gives_each_head_under_its_name(phone, model, split):
    mediapipe = pytest.importorskip("mediapipe", reason="MediaPipe is not installed here")
    from mediapipe.tasks.python import BaseOptions, vision
    from PIL import Image

    options = vision.ImageClassifierOptions(
        base_options=BaseOptions(model_asset_path=phone.path), score_threshold=-1e9
    )
    path = split.examples.paths[0]
    pixels = np.ascontiguousarray(np.asarray(Image.open(path).convert("RGB")))
    image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
    with vision.ImageClassifier.create_from_options(options) as classifier:
        found = classifier.classify(image).classifications
    received = {
        part.head_name: {c.category_name: c.score for c in part.categories} for part in found
    }
    expected = model.predict(path)
    for head in model.heads:
        assert received[head.name] == pytest.approx(expected[head.name], rel=1e-4, abs=1e-4)


def test_slugs_differ_even_where_names_hardly_do():
    names = ("a b", "a-b", "é", "?", "plain")
    heads = [HeadSpec(name, "multiclass", ("x", "y"), "", "") for name in names]
    slugs = head_slugs(heads)
    assert len(set(slugs.values())) == len(names)
    assert all(slug.isascii() and slug.isidentifier() or slug.isdigit() for slug in slugs.values())
