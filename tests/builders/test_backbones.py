"""Backbones take raw pixels and hold the preprocessing their weights expect."""

import keras
import numpy as np
import pytest

from tftune.builders.backbones import build_backbone, preprocess
from tftune.builders.presets import PRESETS, get_preset
from tftune.errors import PresetError, WeightsError

KERAS_MODULES = {
    "vgg16": keras.applications.vgg16,
    "resnet50": keras.applications.resnet50,
    "inception_v3": keras.applications.inception_v3,
}


@pytest.mark.parametrize("name", sorted(KERAS_MODULES))
def test_preprocessing_is_the_one_keras_applications_publishes(name):
    image = keras.Input((5, 7, 3))
    ours = keras.Model(image, preprocess(image, PRESETS[name].preprocessing))
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 5, 7, 3)).astype(np.float32)
    expected = KERAS_MODULES[name].preprocess_input(pixels.copy())
    # One float32 rounding of values up to 255.
    np.testing.assert_allclose(ours(pixels), expected, atol=2e-5)


def test_a_backbone_with_a_weights_file_equals_keras_own_on_preprocessed_pixels(tmp_path):
    keras.utils.set_random_seed(3)
    reference = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    reference.save_weights(tmp_path / "vgg.weights.h5")
    backbone = build_backbone(get_preset("vgg16"), (32, 32), tmp_path / "vgg.weights.h5")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    expected = reference(keras.applications.vgg16.preprocess_input(pixels.copy()))
    np.testing.assert_allclose(backbone(pixels), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_backbone_builds_flat_with_the_parameters_it_promises(name):
    side = 75 if name == "inception_v3" else 32
    backbone = build_backbone(PRESETS[name], (side, side), weights=None)
    assert backbone.count_params() == PRESETS[name].parameters
    assert not any(isinstance(layer, keras.Model) for layer in backbone.layers)
    assert backbone.input_shape == (None, side, side, 3)


@pytest.mark.parametrize("written", ["ResNet50", "resnet-50", "InceptionV3", "vgg16"])
def test_a_preset_is_found_however_it_is_written(written):
    assert get_preset(written).name in PRESETS


def test_an_unknown_backbone_is_refused_with_the_nearest_name():
    with pytest.raises(PresetError, match=r"'resnet5'\. Did you mean 'resnet50'\?"):
        get_preset("resnet5")


def test_a_missing_weights_file_is_named():
    with pytest.raises(WeightsError, match=r"existing weights file\. Received: 'no\.weights\.h5'"):
        build_backbone(PRESETS["vgg16"], (32, 32), "no.weights.h5")


@pytest.mark.filterwarnings("ignore:A total of .* objects could not be loaded")
def test_the_weights_of_another_network_are_refused(tmp_path):
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(
        tmp_path / "other.weights.h5"
    )
    with pytest.raises(WeightsError, match="weights file of 'vgg16'"):
        build_backbone(PRESETS["vgg16"], (32, 32), tmp_path / "other.weights.h5")
