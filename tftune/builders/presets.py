"""The registry of backbones: what each is called, wants and costs."""

from __future__ import annotations

from dataclasses import dataclass

from tftune.errors import PresetError, did_you_mean


@dataclass(frozen=True)
class Preset:
    """A pretrained backbone that tftune knows how to build.

    Attributes:
        name: what `build_image_classifier` takes.
        factory: attribute of `keras.applications` that builds it; empty for tftune's own.
        image_size: default (height, width) in pixels, the size its weights were trained at.
        preprocessing: how raw pixels in [0, 255] become what the weights expect: "tf" maps to
            [-1, 1]; "torch" scales to [0, 1] and normalises by the ImageNet mean and deviation;
            "caffe" swaps to BGR and subtracts the ImageNet mean; "lite" is (x - 127) / 128;
            "inside" means that the network does it itself.
        parameters: number of weights without the ImageNet classifier.
        source: the paper the network is described in.
    """

    name: str
    factory: str
    image_size: tuple[int, int]
    preprocessing: str
    parameters: int
    source: str


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "efficientnet_lite0",
            "",
            (224, 224),
            "lite",
            3_413_024,
            "https://arxiv.org/abs/1905.11946",
        ),
        Preset(
            "inception_v3",
            "InceptionV3",
            (299, 299),
            "tf",
            21_802_784,
            "https://arxiv.org/abs/1512.00567",
        ),
        Preset(
            "resnet50",
            "ResNet50",
            (224, 224),
            "caffe",
            23_587_712,
            "https://arxiv.org/abs/1512.03385",
        ),
        Preset(
            "vgg16",
            "VGG16",
            (224, 224),
            "caffe",
            14_714_688,
            "https://arxiv.org/abs/1409.1556",
        ),
    )
}

DEFAULT_PRESET = "efficientnet_lite0"


def get_preset(name: str) -> Preset:
    """Look a backbone up by name.

    Args:
        name: a key of `PRESETS`; letter case, "-" and missing "_" are forgiven ("ResNet50").

    Returns:
        The preset.

    Raises:
        PresetError: if there is none, with the nearest name.
    """
    if name in PRESETS:
        return PRESETS[name]
    by_plain_name = {_plain(known): known for known in PRESETS}
    if _plain(name) in by_plain_name:
        return PRESETS[by_plain_name[_plain(name)]]
    raise PresetError(
        f"`backbone` must be a known preset. Received: {name!r}."
        f"{did_you_mean(name, PRESETS)} List all with `tftune backbones`."
    )


def _plain(name: str) -> str:
    return str(name).lower().replace("-", "").replace("_", "")
