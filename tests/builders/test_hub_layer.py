"""A TF2 SavedModel of image features is a backbone that trains whole, saves and loads."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tftune
from tftune.errors import ConfigError, WeightsError
from tftune.training.sentinel import promised_variables


class FeatureVector(tf.Module):
    """What TF-Hub calls an image feature vector: images in [0, 1] to vectors."""

    def __init__(self):
        super().__init__()
        initial = tf.random.stateless_normal((3, 3, 3, 5), seed=(1, 2))
        self.kernel = tf.Variable(initial, name="conv/kernel")
        self.mean = tf.Variable(tf.zeros((5,)), trainable=False, name="bn/moving_mean")

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, None, 3), tf.float32),
            tf.TensorSpec((), tf.bool),
        ]
    )
    def __call__(self, inputs, training=False):
        x = tf.nn.conv2d(inputs, self.kernel, 2, "SAME") - self.mean
        x = tf.cond(training, lambda: x * 0, lambda: x)  # training mode would be noticed
        return tf.reduce_mean(tf.nn.relu(x), axis=(1, 2))


@pytest.fixture
def folder(tmp_path):
    module = FeatureVector()
    # A TF2 hub module lists its variables, as tf.Module does, but as attributes of the object.
    wrapped = tf.train.Checkpoint()
    wrapped.kernel, wrapped.mean = module.kernel, module.mean
    wrapped.__call__ = module.__call__
    wrapped.variables = [module.kernel, module.mean]
    wrapped.trainable_variables = [module.kernel]
    tf.saved_model.save(wrapped, str(tmp_path / "vector"))
    return tmp_path / "vector"


@pytest.fixture
def pixels():
    return np.random.default_rng(0).uniform(0, 255, (4, 16, 16, 3)).astype(np.float32)


def build(folder):
    return tftune.build_image_classifier(folder, class_names=["a", "b"], image_size=(16, 16))


def test_features_are_those_of_the_saved_model_on_pixels_from_0_to_1(folder, pixels):
    model = build(folder)
    loaded = tf.saved_model.load(str(folder))
    expected = loaded(tf.constant(pixels / 255), False)
    np.testing.assert_allclose(model.backbone(pixels), expected, rtol=1e-5, atol=1e-6)
    assert [stage.name for stage in model.stages] == ["hub"]
    assert model.boundary_below("none") == "pooled"
    assert model.boundary_below(1) is None


def test_it_trains_whole_or_not_at_all(folder, pixels):
    model = build(folder)
    layer = model.keras_model.get_layer("hub")
    for unfreeze, moves in (("none", False), ("hub", True)):
        model.set_trainable(unfreeze)
        before = [np.array(w) for w in layer.get_weights()]
        model.logits_model.compile("sgd", "mse")
        model.logits_model.fit(pixels, np.ones((4, 2)), verbose=0)
        after = layer.get_weights()
        changed = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
        assert changed == [moves, False]  # the moving mean never moves
        promised = {id(v) for v in promised_variables(model, unfreeze)}
        assert promised == {id(v) for v in model.keras_model.trainable_variables}


def test_a_saved_model_carries_it_inside(folder, pixels, tmp_path):
    model = build(folder)
    model.keras_model.get_layer("hub").set_weights([np.full((3, 3, 3, 5), 0.1), np.full((5,), 0.2)])
    model.save(tmp_path / "m.keras")
    for file in folder.rglob("*"):
        if file.is_file():
            file.unlink()
    loaded = tftune.load(tmp_path / "m.keras")
    expected = model.predict_probabilities(pixels)
    np.testing.assert_array_equal(loaded.predict_probabilities(pixels), expected)
    assert loaded.cut("pooled")[0].fingerprint == model.cut("pooled")[0].fingerprint
    loaded.save(tmp_path / "again.keras")
    again = tftune.load(tmp_path / "again.keras")
    np.testing.assert_array_equal(again.predict_probabilities(pixels), expected)


def test_what_is_no_feature_vector_is_refused(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match="holds no saved_model.pb"):
        build(tmp_path / "empty")
    tf.saved_model.save(tf.Module(), str(tmp_path / "bare"))
    with pytest.raises(ConfigError, match="Reusable SavedModel"):
        build(tmp_path / "bare")


def test_a_handle_that_cannot_be_fetched_is_explained(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorflow_hub", None)
    with pytest.raises(WeightsError, match="setuptools<82"):
        build("https://tfhub.dev/google/imagenet/mobilenet_v2_100_224/feature_vector/5")


def test_plain_presets_are_still_found_by_name():
    with pytest.raises(ConfigError, match="`preprocessing` of 'vgg16' is 'caffe'"):
        tftune.build_image_classifier(
            "vgg16", class_names=["a", "b"], weights=None, preprocessing="tf"
        )
    assert keras.backend.backend() == "tensorflow"
