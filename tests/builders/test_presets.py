"""The registry finds and sorts backbones."""

import pytest

from tftune.builders.presets import PRESETS, get_preset, sorted_presets
from tftune.errors import ConfigError


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("EfficientNetV2B0", "efficientnet_v2_b0"),
        ("ConvNeXtTiny", "convnext_tiny"),
        ("NASNetMobile", "nasnet_mobile"),
        ("resnet-152-v2", "resnet152_v2"),
        ("InceptionResNetV2", "inception_resnet_v2"),
    ],
)
def test_keras_own_names_find_the_preset(written, name):
    assert get_preset(written).name == name


def test_every_network_of_keras_applications_is_registered():
    import keras

    factories = {
        name
        for name in dir(keras.applications)
        if callable(getattr(keras.applications, name)) and not name.startswith("_")
    }
    assert {preset.factory for preset in PRESETS.values()} - {""} == factories


@pytest.mark.parametrize(
    ("sort", "first"),
    [("size", "mobilenet_v3_small"), ("accuracy", "convnext_xlarge"), ("speed", None)],
)
def test_presets_are_sorted_as_asked(sort, first):
    presets = sorted_presets(sort)
    assert len(presets) == len(PRESETS)
    assert first is None or presets[0].name == first
    if sort == "accuracy":
        assert presets == sorted(presets, key=lambda preset: -preset.top1)
    if sort == "speed":
        assert presets == sorted(presets, key=lambda preset: preset.mflops)


def test_an_unknown_order_is_refused():
    with pytest.raises(ConfigError, match="'size', 'accuracy', 'speed'"):
        sorted_presets("price")
