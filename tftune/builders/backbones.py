"""Building a backbone whose input is raw pixels and whose graph is flat."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import keras

from tftune.builders.efficientnet_lite import efficientnet_lite0
from tftune.builders.presets import Preset
from tftune.errors import ConfigError, WeightsError

# The ImageNet statistics that keras.applications.imagenet_utils uses, on the scale of 0-255.
_BGR_MEAN = (103.939, 116.779, 123.68)
_RGB_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
PREPROCESSINGS = ("inside", "unit", "tf", "lite", "torch", "caffe")
_RGB_DEVIATION = (0.229 * 255, 0.224 * 255, 0.225 * 255)


def build_backbone(
    preset: Preset,
    image_size: tuple[int, int],
    weights: str | os.PathLike[str] | None = "imagenet",
) -> keras.Model:
    """Build a backbone with its preprocessing in the same graph.

    The graph is flat, made of Keras' own layers only, and every layer is called once: that is
    what lets it be cut anywhere and loaded without tftune.

    Args:
        preset: which backbone.
        image_size: (height, width) in pixels.
        weights: "imagenet", None for random ones, or a weights file of this backbone without
            its classifier.

    Returns:
        Model from float32 (batch, height, width, 3) RGB in [0, 255] to the last feature map.

    Raises:
        WeightsError: if the weights file is missing or belongs to another network, or the
            ImageNet weights cannot be fetched.
        ConfigError: if the images are too small for the network.
    """
    image = keras.Input((*image_size, 3), name="image")
    prepared = preprocess(image, preset.preprocessing)
    factory = getattr(keras.applications, preset.factory) if preset.factory else efficientnet_lite0
    if weights not in (None, "imagenet") and not Path(str(weights)).is_file():
        raise WeightsError(
            "`weights` must be 'imagenet', None or an existing weights file. "
            f"Received: {str(weights)!r}."
        )
    from_file = weights not in (None, "imagenet")
    try:
        network = factory(
            include_top=False,
            input_tensor=prepared,
            weights=None if from_file or weights is None else str(weights),
        )
        if from_file:
            load_every_weight(network, str(weights))
    except WeightsError:
        raise
    except Exception as error:
        # Keras raises ValueError, KeyError, OSError or plain Exception here, by file format.
        if "Computed output size would be" in str(error):
            raise ConfigError(_too_small_message(preset, image_size)) from error
        if weights is None:
            raise
        raise WeightsError(_weights_message(preset, weights, error)) from error
    if 0 in network.output.shape[1:3]:  # which Keras 3.10 lets pass
        raise ConfigError(_too_small_message(preset, image_size))
    # Some factories wrap their input in a list; a bare tensor is what callers pass.
    return keras.Model(image, network.output, name=preset.name)


def _too_small_message(preset: Preset, image_size: tuple[int, int]) -> str:
    return (
        f"`image_size` is too small for {preset.name!r}: no pixel is left of its last feature "
        f"maps. Received: {image_size}. Its own size is {preset.image_size}."
    )


def load_every_weight(network: keras.Model, path: str) -> None:
    """Load a weights file and make sure that it held every variable.

    Keras warns, and leaves random values, when a file holds only some of a network's layers.

    Args:
        network: loaded in place; its earlier values are lost.
        path: the file.

    Raises:
        ValueError: if a variable was not in the file; Keras raises others for unreadable files.
    """
    floats = [v for v in network.variables if "float" in str(v.dtype) and "seed" not in v.path]
    for variable in floats:
        variable.assign(keras.ops.full(variable.shape, float("nan"), variable.dtype))
    with warnings.catch_warnings():
        # What Keras would warn of is an error below.
        warnings.filterwarnings("ignore", module=r"keras\.")
        network.load_weights(path)
    missing = [
        v.path for v in floats if bool(keras.ops.any(keras.ops.isnan(keras.ops.ravel(v.value))))
    ]
    if missing:
        raise ValueError(
            f"{len(missing)} of its {len(floats)} variables are not in the file, "
            f"such as {missing[0]!r}."
        )


def preprocess(image: keras.KerasTensor, preprocessing: str) -> keras.KerasTensor:
    """Apply a preset's preprocessing with built-in Keras operations.

    Args:
        image: shape (batch, height, width, 3), RGB in [0, 255].
        preprocessing: see `Preset.preprocessing`; and "unit", which maps to [0, 1].

    Returns:
        The tensor the backbone's first layer expects.
    """
    if preprocessing == "inside":
        return image
    if preprocessing == "unit":
        return _rescaling(1 / 255, 0.0)(image)
    if preprocessing == "tf":
        return _rescaling(1 / 127.5, -1.0)(image)
    if preprocessing == "lite":
        return _rescaling(1 / 128, -127 / 128)(image)
    if preprocessing == "torch":
        scale = [1 / deviation for deviation in _RGB_DEVIATION]
        offset = [-m / d for m, d in zip(_RGB_MEAN, _RGB_DEVIATION, strict=True)]
        return _rescaling(scale, offset)(image)
    if preprocessing == "caffe":
        swapped = keras.ops.flip(image, axis=-1)
        return _rescaling([1.0, 1.0, 1.0], [-mean for mean in _BGR_MEAN])(swapped)
    raise ConfigError(
        f"`preprocessing` must be one of {', '.join(map(repr, PREPROCESSINGS))}. "
        f"Received: {preprocessing!r}."
    )


def _rescaling(scale: float | list[float], offset: float | list[float]) -> keras.layers.Layer:
    return keras.layers.Rescaling(scale, offset, name="preprocessing")


def _weights_message(preset: Preset, weights: object, error: Exception) -> str:
    # Keras goes on to list every layer of the network.
    reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
    if weights == "imagenet":
        return (
            f"The ImageNet weights of {preset.name!r} could not be fetched ({reason}). Give "
            "`weights` the path of a file you downloaded, or use backbone 'efficientnet_lite0', "
            "whose weights are already installed."
        )
    return (
        f"`weights` must be a weights file of {preset.name!r} without its classifier. "
        f"Received: {str(weights)!r}, which does not fit: {reason}"
    )
