"""The registry of backbones: what each is called, wants and costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tftune.errors import PresetError, check_choice, did_you_mean

KERAS_TABLE = "https://keras.io/api/applications/"
SORTS = ("size", "accuracy", "speed")


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
            "inside" means that the network does it itself. Whichever it is, the built model takes
            raw pixels.
        parameters: number of weights without the ImageNet classifier.
        mflops: millions of floating-point operations for one image of `image_size`, counting a
            multiply-add as two, as `tftune.builders.stages` counts them.
        top1: ImageNet top-1 accuracy in [0, 1] of the pretrained network; None if no source is
            known.
        top1_source: where that figure comes from.
        int8: whether it keeps its accuracy in full 8-bit integers; None if that is not known.
        int8_reason: why, with the source.
        source: the paper the network is described in.
    """

    name: str
    factory: str
    image_size: tuple[int, int]
    preprocessing: str
    parameters: int
    mflops: int
    top1: float | None
    top1_source: str
    int8: bool | None
    int8_reason: str
    source: str


class _Family(NamedTuple):
    preprocessing: str
    int8: bool | None
    int8_reason: str
    source: str
    top1_source: str = KERAS_TABLE


_WHITEPAPER = (
    "post-training 8-bit weights by channel and 8-bit activations cost this family about two "
    "points or less: https://arxiv.org/abs/1806.08342"
)
_SWISH = (
    "swish and squeeze-and-excite give activations a wide range, which eight bits resolve badly: "
    "https://blog.tensorflow.org/2020/03/higher-accuracy-on-vision-models-with-efficientnet-lite.html"
)
_LITE_TOP1 = (
    "the TensorFlow weights that the installed ones were converted from; not measured again: "
    "https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite"
)
_CONVNEXT_TOP1 = (
    f"{KERAS_TABLE}; base, large and xlarge learned from ImageNet-21k first: "
    "https://keras.io/api/applications/convnext/"
)
_SWISH_MEASURED = (
    f"{_SWISH}; an EfficientNetB0 trained from nothing on Fashion-MNIST lost 2.2 points on 400 "
    "images and kept 89% of its answers"
)
_MOBILENET_V3 = (
    "hard-swish and squeeze-and-excite; a MobileNetV3Small trained from nothing on Fashion-MNIST "
    "lost 1.7 points on 400 images and kept 98% of its answers; not measured with ImageNet weights"
)

_FAMILIES = {
    "lite": _Family(
        "lite",
        True,
        "made for it: ReLU6 and no squeeze-and-excite",
        "https://arxiv.org/abs/1905.11946",
        _LITE_TOP1,
    ),
    "vgg": _Family(
        "caffe",
        None,
        "not measured; plain convolutions and ReLU, as in ResNet",
        "https://arxiv.org/abs/1409.1556",
    ),
    "resnet": _Family("caffe", True, _WHITEPAPER, "https://arxiv.org/abs/1512.03385"),
    "resnet_v2": _Family("tf", True, _WHITEPAPER, "https://arxiv.org/abs/1603.05027"),
    "inception_v3": _Family("tf", True, _WHITEPAPER, "https://arxiv.org/abs/1512.00567"),
    "inception_resnet": _Family(
        "tf",
        None,
        "not measured; ReLU, but residual branches are scaled down before the sum",
        "https://arxiv.org/abs/1602.07261",
    ),
    "xception": _Family(
        "tf",
        None,
        "not measured; ReLU and separable convolutions",
        "https://arxiv.org/abs/1610.02357",
    ),
    "mobilenet": _Family("tf", True, _WHITEPAPER, "https://arxiv.org/abs/1704.04861"),
    "mobilenet_v2": _Family("tf", True, _WHITEPAPER, "https://arxiv.org/abs/1801.04381"),
    "mobilenet_v3": _Family(
        "inside",
        None,
        _MOBILENET_V3,
        "https://arxiv.org/abs/1905.02244",
        "https://keras.io/api/applications/mobilenet/",
    ),
    "densenet": _Family(
        "torch",
        None,
        "not measured; ReLU, but concatenated maps of many layers share one scale",
        "https://arxiv.org/abs/1608.06993",
    ),
    "nasnet": _Family(
        "tf",
        None,
        "not measured; ReLU, but concatenated maps of many branches share one scale",
        "https://arxiv.org/abs/1707.07012",
    ),
    "efficientnet": _Family("inside", False, _SWISH_MEASURED, "https://arxiv.org/abs/1905.11946"),
    "efficientnet_v2": _Family(
        "inside", None, f"not measured; {_SWISH}", "https://arxiv.org/abs/2104.00298"
    ),
    "convnext": _Family(
        "inside",
        None,
        "not measured; GELU and layer normalisation, made of several operators",
        "https://arxiv.org/abs/2201.03545",
        _CONVNEXT_TOP1,
    ),
}

# name, factory, family, side in pixels, parameters, millions of operations, top-1
_ROWS = (
    ("efficientnet_lite0", "", "lite", 224, 3_413_024, 768, 0.751),
    ("vgg16", "VGG16", "vgg", 224, 14_714_688, 30_693, 0.713),
    ("vgg19", "VGG19", "vgg", 224, 20_024_384, 39_017, 0.713),
    ("resnet50", "ResNet50", "resnet", 224, 23_587_712, 7_712, 0.749),
    ("resnet101", "ResNet101", "resnet", 224, 42_658_176, 15_136, 0.764),
    ("resnet152", "ResNet152", "resnet", 224, 58_370_944, 22_561, 0.766),
    ("resnet50_v2", "ResNet50V2", "resnet_v2", 224, 23_564_800, 6_960, 0.760),
    ("resnet101_v2", "ResNet101V2", "resnet_v2", 224, 42_626_560, 14_385, 0.772),
    ("resnet152_v2", "ResNet152V2", "resnet_v2", 224, 58_331_648, 21_809, 0.780),
    ("inception_v3", "InceptionV3", "inception_v3", 299, 21_802_784, 11_422, 0.779),
    (
        "inception_resnet_v2",
        "InceptionResNetV2",
        "inception_resnet",
        299,
        54_336_736,
        26_309,
        0.803,
    ),
    ("xception", "Xception", "xception", 299, 20_861_480, 16_711, 0.790),
    ("mobilenet", "MobileNet", "mobilenet", 224, 3_228_864, 1_135, 0.704),
    ("mobilenet_v2", "MobileNetV2", "mobilenet_v2", 224, 2_257_984, 599, 0.713),
    ("mobilenet_v3_small", "MobileNetV3Small", "mobilenet_v3", 224, 939_120, 110, 0.681),
    ("mobilenet_v3_large", "MobileNetV3Large", "mobilenet_v3", 224, 2_996_352, 428, 0.756),
    ("densenet121", "DenseNet121", "densenet", 224, 7_037_504, 5_666, 0.750),
    ("densenet169", "DenseNet169", "densenet", 224, 12_642_880, 6_716, 0.762),
    ("densenet201", "DenseNet201", "densenet", 224, 18_321_984, 8_579, 0.773),
    ("nasnet_mobile", "NASNetMobile", "nasnet", 224, 4_269_716, 1_125, 0.744),
    ("nasnet_large", "NASNetLarge", "nasnet", 331, 84_916_818, 47_559, 0.825),
    ("efficientnet_b0", "EfficientNetB0", "efficientnet", 224, 4_049_571, 769, 0.771),
    ("efficientnet_b1", "EfficientNetB1", "efficientnet", 240, 6_575_239, 1_371, 0.791),
    ("efficientnet_b2", "EfficientNetB2", "efficientnet", 260, 7_768_569, 1_984, 0.801),
    ("efficientnet_b3", "EfficientNetB3", "efficientnet", 300, 10_783_535, 3_651, 0.816),
    ("efficientnet_b4", "EfficientNetB4", "efficientnet", 380, 17_673_823, 8_784, 0.829),
    ("efficientnet_b5", "EfficientNetB5", "efficientnet", 456, 28_513_527, 20_529, 0.836),
    ("efficientnet_b6", "EfficientNetB6", "efficientnet", 528, 40_960_143, 38_131, 0.840),
    ("efficientnet_b7", "EfficientNetB7", "efficientnet", 600, 64_097_687, 75_487, 0.843),
    ("efficientnet_v2_b0", "EfficientNetV2B0", "efficientnet_v2", 224, 5_919_312, 1_434, 0.787),
    ("efficientnet_v2_b1", "EfficientNetV2B1", "efficientnet_v2", 240, 6_931_124, 2_391, 0.798),
    ("efficientnet_v2_b2", "EfficientNetV2B2", "efficientnet_v2", 260, 8_769_374, 3_392, 0.805),
    ("efficientnet_v2_b3", "EfficientNetV2B3", "efficientnet_v2", 300, 12_930_622, 6_020, 0.820),
    ("efficientnet_v2_s", "EfficientNetV2S", "efficientnet_v2", 384, 20_331_360, 16_729, 0.839),
    ("efficientnet_v2_m", "EfficientNetV2M", "efficientnet_v2", 480, 53_150_388, 49_162, 0.853),
    ("efficientnet_v2_l", "EfficientNetV2L", "efficientnet_v2", 480, 117_746_848, 112_157, 0.857),
    ("convnext_tiny", "ConvNeXtTiny", "convnext", 224, 27_820_128, 8_910, 0.813),
    ("convnext_small", "ConvNeXtSmall", "convnext", 224, 49_454_688, 17_366, 0.823),
    ("convnext_base", "ConvNeXtBase", "convnext", 224, 87_566_464, 30_707, 0.853),
    ("convnext_large", "ConvNeXtLarge", "convnext", 224, 196_230_336, 68_720, 0.863),
    ("convnext_xlarge", "ConvNeXtXLarge", "convnext", 224, 348_147_968, 121_838, 0.867),
)


def _presets() -> Iterator[Preset]:
    for name, factory, family_name, side, parameters, mflops, top1 in _ROWS:
        family = _FAMILIES[family_name]
        yield Preset(
            name=name,
            factory=factory,
            image_size=(side, side),
            preprocessing=family.preprocessing,
            parameters=parameters,
            mflops=mflops,
            top1=top1,
            top1_source=family.top1_source,
            int8=family.int8,
            int8_reason=family.int8_reason,
            source=family.source,
        )


PRESETS = {preset.name: preset for preset in _presets()}

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


def sorted_presets(sort: str = "size") -> list[Preset]:
    """Return all presets in a useful order.

    Args:
        sort: "size" (fewest parameters first), "accuracy" (highest ImageNet top-1 first, unknown
            last) or "speed" (fewest operations for an image of its default size first).

    Raises:
        ConfigError: if `sort` is none of these.
    """
    check_choice("sort", sort, SORTS)
    keys = {
        "size": lambda preset: preset.parameters,
        "accuracy": lambda preset: -(preset.top1 or 0.0),
        "speed": lambda preset: preset.mflops,
    }
    return sorted(PRESETS.values(), key=keys[sort])


def _plain(name: str) -> str:
    return str(name).lower().replace("-", "").replace("_", "")
