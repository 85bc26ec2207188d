"""The protocol buffers of TF Serving drive what was exported."""

import ast
import subprocess

import numpy as np
import pytest
import tensorflow as tf

import tftune
from tftune.errors import ConfigError

pytest.importorskip("tensorflow_serving", reason="the extra `serving` is not installed here")


@pytest.fixture(scope="module")
def export(bundled_export):
    return bundled_export


@pytest.fixture(scope="module")
def loaded(export):
    return tf.saved_model.load(export.path)


def _expected(model, paths):
    return [[a[name] for name in model.class_names] for a in model.predict(list(paths))]


def test_every_warm_up_record_is_answered_with_the_models_answers(
    export, loaded, tiny_model, stripes
):
    from tensorflow_serving.apis import prediction_log_pb2

    file = f"{export.path}/assets.extra/tf_serving_warmup_requests"
    sizes = []
    for record in tf.data.TFRecordDataset(file):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        assert request.model_spec.name == "stripes"
        signature = loaded.signatures[request.model_spec.signature_name]
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        answers = signature(**{name: tf.constant(value) for name, value in inputs.items()})
        sizes.append(len(inputs["image_bytes"]))
        if sizes[-1] == 3:
            expected = _expected(tiny_model, stripes.validation.examples.paths)
            np.testing.assert_allclose(answers["probabilities"], expected, atol=1e-5)
    assert sizes == [1, 1, 1, 3]


def test_the_classify_api_takes_its_own_examples(loaded, export, tiny_model, stripes):
    """A ClassificationRequest carries an ExampleList; the server passes its examples on."""
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow_serving.apis import classification_pb2

    path = stripes.test.examples.paths[0]
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[open(path, "rb").read()]))
    request = classification_pb2.ClassificationRequest()
    example = request.input.example_list.examples.add()
    example.features.feature["image/encoded"].CopyFrom(feature)
    serialized = [e.SerializeToString() for e in request.input.example_list.examples]
    answers = loaded.signatures["classify"](inputs=tf.constant(serialized))
    assert set(answers) == {"classes", "scores"}
    assert answers["classes"].dtype == tf.string
    np.testing.assert_allclose(answers["scores"], _expected(tiny_model, [path]), atol=1e-5)
    with open(f"{export.path}/saved_model.pb", "rb") as stream:
        saved = saved_model_pb2.SavedModel.FromString(stream.read())
    methods = {k: s.method_name for k, s in saved.meta_graphs[0].signature_def.items()}
    assert methods["classify"] == "tensorflow/serving/classify"
    assert methods["serving_default"] == "tensorflow/serving/predict"


def test_pixels_of_both_types_and_any_size_give_the_same_answers(loaded, tiny_model):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 50, 70, 3))
    as_float = loaded.signatures["predict_pixels"](pixels=tf.constant(pixels, tf.float32))
    as_bytes = loaded.signatures["predict_pixels_uint8"](pixels=tf.constant(pixels, tf.uint8))
    np.testing.assert_array_equal(as_float["probabilities"], as_bytes["probabilities"])
    expected = _expected(tiny_model, pixels)
    np.testing.assert_allclose(as_float["probabilities"], expected, atol=1e-5)


def test_embed_gives_the_features_the_head_sees(loaded, tiny_model, stripes):
    path = stripes.test.examples.paths[0]
    features = loaded.signatures["embed"](image_bytes=tf.constant([open(path, "rb").read()]))
    kernel, bias = tiny_model.keras_model.get_layer("logits").get_weights()
    logits = features["embedding"].numpy() @ kernel + bias
    expected = _expected(tiny_model, [path])
    np.testing.assert_allclose(tf.nn.softmax(logits), expected, atol=1e-5)


def test_the_bundles_files_are_valid(export):
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    folder = export.path.rsplit("/", 1)[0] + ".serving"
    config = model_server_config_pb2.ModelServerConfig()
    with open(f"{folder}/models.config") as stream:
        text_format.Parse(stream.read(), config)
    assert config.model_config_list.config[0].name == "stripes"
    for client in ("client_rest.py", "client_grpc.py"):
        with open(f"{folder}/{client}") as stream:
            ast.parse(stream.read())
    subprocess.run(["sh", "-n", f"{folder}/client.sh"], check=True)


def test_a_bundle_without_images_is_refused(small_model, tmp_path):
    with pytest.raises(ConfigError, match="real images to warm up with"):
        tftune.export_saved_model(small_model, tmp_path / "m", bundle=True)
    assert list(tmp_path.iterdir()) == []
