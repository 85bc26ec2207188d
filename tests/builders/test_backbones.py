"""Backbones take raw pixels and hold the preprocessing their weights expect."""

import h5py
import keras
import numpy as np
import pytest

from tftune.builders.backbones import build_backbone, load_every_weight
from tftune.builders.presets import PRESETS, get_preset
from tftune.errors import ConfigError, PresetError, WeightsError


def test_a_backbone_with_a_weights_file_equals_keras_own_on_preprocessed_pixels(tmp_path):
    keras.utils.set_random_seed(3)
    reference = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    reference.save_weights(tmp_path / "vgg.weights.h5")
    backbone = build_backbone(get_preset("vgg16"), (32, 32), tmp_path / "vgg.weights.h5")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    expected = reference(keras.applications.vgg16.preprocess_input(pixels.copy()))
    np.testing.assert_allclose(backbone(pixels), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("written", ["ResNet50", "resnet-50", "InceptionV3", "vgg16"])
def test_a_preset_is_found_however_it_is_written(written):
    assert get_preset(written).name in PRESETS


def test_an_unknown_backbone_is_refused_with_the_nearest_name():
    with pytest.raises(PresetError, match=r"'resnet5'\. Did you mean 'resnet50'\?"):
        get_preset("resnet5")


def test_a_missing_weights_file_is_named():
    with pytest.raises(WeightsError, match=r"existing weights file\. Received: 'no\.weights\.h5'"):
        build_backbone(PRESETS["vgg16"], (32, 32), "no.weights.h5")


def test_the_weights_of_another_network_are_refused(tmp_path):
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(
        tmp_path / "other.weights.h5"
    )
    with pytest.raises(WeightsError, match="weights file of 'vgg16'"):
        build_backbone(PRESETS["vgg16"], (32, 32), tmp_path / "other.weights.h5")


def test_the_weights_of_a_shallower_network_are_refused(tmp_path):
    image = keras.Input((32, 32, 3))
    network = keras.applications.MobileNet(
        include_top=False, weights=None, input_tensor=image, alpha=1.0
    )
    shallow = keras.Model(image, network.get_layer("conv_pw_3_relu").output)
    shallow.save_weights(tmp_path / "shallow.weights.h5")
    with pytest.raises(WeightsError, match="does not fit: A total of 40 objects"):
        build_backbone(PRESETS["mobilenet"], (32, 32), tmp_path / "shallow.weights.h5")


def test_a_weights_file_that_leaves_a_variable_untouched_is_refused(monkeypatch):
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="only")])

    def load_half(self, path):  # Keras does this, with a warning, for some layouts
        self.get_layer("only").kernel.assign(np.ones((3, 2)))

    monkeypatch.setattr(keras.Sequential, "load_weights", load_half)
    with pytest.raises(ValueError, match="1 of its 2 variables are not in the file.*only/bias"):
        load_every_weight(network, "half.weights.h5")


def test_imagenet_weights_that_cannot_be_fetched_are_explained(monkeypatch):
    def offline(*args, **kwargs):
        raise Exception("URL fetch failure")  # what keras.utils.get_file raises

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", offline)
    monkeypatch.setenv("KERAS_HOME", "")
    with pytest.raises(WeightsError, match="could not be fetched .*'efficientnet_lite0'"):
        build_backbone(PRESETS["vgg16"], (32, 32))


def test_images_too_small_for_a_network_are_refused():
    with pytest.raises(ConfigError, match=r"too small for 'inception_v3'.*\(299, 299\)"):
        build_backbone(PRESETS["inception_v3"], (32, 32), None)


def _write_as_keras_2_did(network, path):
    """Write weights in the form of the files that Keras Applications publishes."""
    held = [layer for layer in network.layers if layer.weights]
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in held]
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.2.4"
        for layer in held:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, weight in zip(names, layer.weights, strict=True):
                group[name] = np.asarray(weight)


@pytest.mark.parametrize("name", ["mobilenet", "mobilenet_v3_small"])
def test_a_file_that_keras_applications_publish_is_loaded(name, tmp_path):
    """Their files are of Keras 2's form, whose suffix is .h5 alone."""
    factory = getattr(keras.applications, PRESETS[name].factory)
    reference = factory(include_top=False, weights=None, input_shape=(32, 32, 3))
    # So that statistics of BatchNormalization, 0 and 1 in a new network, count too.
    generator = np.random.default_rng(0)
    reference.set_weights([generator.uniform(0.5, 1, w.shape) for w in reference.get_weights()])
    _write_as_keras_2_did(reference, tmp_path / "notop.h5")
    backbone = build_backbone(PRESETS[name], (32, 32), tmp_path / "notop.h5")
    for loaded, expected in zip(backbone.get_weights(), reference.get_weights(), strict=True):
        np.testing.assert_array_equal(loaded, expected)


def test_a_published_file_with_its_classifier_is_refused(tmp_path):
    whole = keras.applications.MobileNet(weights=None, input_shape=(32, 32, 3), classes=5)
    _write_as_keras_2_did(whole, tmp_path / "whole.h5")
    with pytest.raises(WeightsError, match="without its classifier"):
        build_backbone(PRESETS["mobilenet"], (32, 32), tmp_path / "whole.h5")
