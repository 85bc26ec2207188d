"""Any functional Keras model becomes a backbone, copied flat with its weights."""

import keras
import numpy as np
import pytest

import tftune
from tftune.errors import ConfigError, ShapeError


@pytest.fixture
def pixels():
    return np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)


def own_network():
    """A network with a model nested in a model, a sum that is no layer and a name of ours."""
    inner = keras.Sequential(
        [keras.Input((16, 16, 4)), keras.layers.Conv2D(4, 3, padding="same", name="logits")],
        name="inner",
    )
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", name="first")(image)
    middle = keras.Model(image, x + inner(x), name="middle")
    outside = keras.Input((16, 16, 3))
    y = middle(outside)
    y = keras.layers.BatchNormalization()(y)
    return keras.Model(outside, keras.layers.MaxPooling2D()(y), name="mine")


def build(network, **settings):
    settings = {"preprocessing": "tf", **settings}
    return tftune.build_image_classifier(network, class_names=["a", "b"], **settings)


def test_the_copy_gives_the_models_own_features_and_is_flat(pixels, tmp_path):
    network = own_network()
    model = build(network)
    expected = network(pixels / 127.5 - 1)
    np.testing.assert_allclose(model.backbone(pixels), expected, rtol=1e-5, atol=1e-5)
    assert model.preset == "mine"
    assert not any(isinstance(layer, keras.Model) for layer in model.keras_model.layers)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded(pixels), model.keras_model(pixels))


def test_training_the_copy_leaves_the_model_alone(pixels):
    network = own_network()
    before = [weight.copy() for weight in network.get_weights()]
    model = build(network)
    model.set_trainable("all")
    model.logits_model.compile("sgd", "mse")
    model.logits_model.fit(pixels, np.ones((2, 2)), verbose=0)
    for weight, old in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_a_model_of_feature_vectors_and_of_any_size_is_taken_too():
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3)(image)
    network = keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))
    with pytest.raises(ConfigError, match="`image_size` must be given"):
        build(network)
    model = build(network, image_size=(12, 20))
    assert model.predict_probabilities(np.zeros((1, 12, 20, 3))).shape == (1, 2)


def test_a_model_that_cannot_be_a_backbone_is_refused():
    image = keras.Input((16, 16, 3))
    conv = keras.layers.Conv2D(3, 1, name="twice")
    with pytest.raises(ConfigError, match="'twice' is called twice"):
        build(keras.Model(image, conv(conv(image))))
    with pytest.raises(ConfigError, match="one input and one output"):
        build(keras.Model(image, [conv(image), image]))
    gray = keras.Input((16, 16, 1))
    with pytest.raises(ShapeError, match="must take images"):
        build(keras.Model(gray, keras.layers.Conv2D(3, 1)(gray)))
    with pytest.raises(ConfigError, match="`preprocessing` must say"):
        build(own_network(), preprocessing=None)
    with pytest.raises(ConfigError, match="'unit', 'tf'"):
        build(own_network(), preprocessing="0-1")
