"""Building a model from a backbone and a dataset."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tftune.builders.backbones import PREPROCESSINGS, build_backbone, preprocess
from tftune.builders.heads import POOLED, attach_heads, head_specs, pool_features
from tftune.builders.hub_layer import HubLayer
from tftune.builders.keras_backbone import adopt_backbone
from tftune.builders.presets import DEFAULT_PRESET, get_preset
from tftune.builders.transfer_model import TransferModel
from tftune.config.image_input import ImageInput
from tftune.config.model_spec import TASKS, ModelSpec
from tftune.data.targets import DEFAULT_TARGET, Target
from tftune.errors import ConfigError, check_choice

# What the image feature vectors of TF-Hub are mostly trained at.
_HUB_SIZE = (224, 224)


def build_image_classifier(
    backbone: str | os.PathLike[str] | keras.Model = DEFAULT_PRESET,
    data: Any = None,
    *,
    class_names: Sequence[str] | None = None,
    task: str = "multiclass",
    ordered: bool | Sequence[str] = False,
    image_size: tuple[int, int] | None = None,
    preprocessing: str | None = None,
    weights: str | os.PathLike[str] | None = "imagenet",
    dropout: float = 0.2,
    hidden: Sequence[int] = (),
    activation: str = "relu",
    pooling: str = "average",
    resize: str = "bilinear",
    background: tuple[int, int, int] = (255, 255, 255),
) -> TransferModel:
    """Put new heads on a pretrained backbone.

    Args:
        backbone: name of a preset (`tftune backbones` lists them); a functional `keras.Model` from
            images to a feature map or vectors, of which a copy with the same weights is used; or a
            TF-Hub image feature vector: the folder of a TF2 SavedModel, or its handle.
        data: a Dataset or Split; each of its targets gets a head, by its own task.
        class_names: the class names (for regression, the quantities), when there is no `data`.
        task: "multiclass" (two classes included), "multilabel" or "regression", when there is no
            `data`.
        ordered: True if the classes are steps of a scale, such as grades, in the order of the class
            names; of several targets, the names of those. Such a head learns step by step how far
            up the scale an image is, so the probability of being beyond a step never rises.
        image_size: (height, width) in pixels; the preset's own by default.
        preprocessing: what a `keras.Model` or feature vector expects of pixels: "inside" (it takes
            0-255), "unit" (0 to 1; the default for TF-Hub), "tf" (-1 to 1), "torch", "caffe" or
            "lite"; see `tftune.builders.presets.Preset`. A preset knows its own.
        weights: of a preset: "imagenet", None for random ones, or a weights file of this backbone
            without its classifier.
        dropout: share of features dropped in training before every layer of the head, in [0, 1).
        hidden: units of hidden layers between the features and the heads; none by default.
        activation: of the hidden layers, by its Keras name.
        pooling: how a feature map becomes one vector: "average", "max" or "concat" (both).
        resize: how images are resampled to `image_size`: "bilinear", "mediapipe" (as phones do),
            "pad" or "crop" (both keep the aspect ratio); part of the saved model.
        background: RGB in [0, 255], shown behind transparent pixels and around padded images; part
            of the saved model.

    Returns:
        A model whose backbone is frozen. It takes raw RGB pixels in [0, 255]; the preprocessing
        the backbone's weights expect is inside.

    Raises:
        PresetError: if the backbone is unknown.
        WeightsError: if the weights cannot be loaded.
        ConfigError: if the class names are missing, doubled or too few, a setting is invalid or a
            `keras.Model` cannot be a backbone.
        ShapeError: if a `keras.Model` does not turn images into features.
    """
    heads = head_specs(targets_of(data, class_names, task), ordered)
    check_head(dropout, hidden, activation)
    network = _network(backbone, image_size, preprocessing, weights)
    contract = ImageInput(tuple(network.input_shape[1:3]), resize, background)
    pooled = pool_features(network.output, pooling)
    outputs = attach_heads(pooled, heads, dropout, hidden, activation)
    spec = ModelSpec(
        preset=network.name,
        contract=contract,
        features_layer=network.operations[-1].name,
        pooled_layer=POOLED,
        heads=heads,
    )
    model = TransferModel(keras.Model(network.input, outputs, name="classifier"), spec)
    model.set_trainable("none")
    return model


def _network(
    backbone: str | os.PathLike[str] | keras.Model,
    image_size: tuple[int, int] | None,
    preprocessing: str | None,
    weights: str | os.PathLike[str] | None,
) -> keras.Model:
    """Build the backbone, from raw pixels to features."""
    if image_size is not None:
        image_size = ImageInput(image_size).image_size
    if isinstance(backbone, keras.Model):
        if preprocessing is None:
            raise ConfigError(
                "`preprocessing` must say what the model expects of pixels: "
                f"{', '.join(map(repr, PREPROCESSINGS))}. Received: None."
            )
        return adopt_backbone(backbone, preprocessing, image_size)
    name = os.fspath(backbone)
    if "://" in name or os.path.isdir(name) or not isinstance(backbone, str):
        size = image_size or _HUB_SIZE
        image = keras.Input((*size, 3), name="image")
        features = HubLayer(name, name="hub")(preprocess(image, preprocessing or "unit"))
        return keras.Model(image, features, name="hub")
    preset = get_preset(name)
    if preprocessing not in (None, preset.preprocessing):
        raise ConfigError(
            f"`preprocessing` of {preset.name!r} is {preset.preprocessing!r}. "
            f"Received: {preprocessing!r}. Leave it out."
        )
    return build_backbone(preset, image_size or preset.image_size, weights)


def targets_of(data: Any, class_names: Sequence[str] | None, task: str) -> tuple[Target, ...]:
    """Return the data's targets, or an empty one of these classes when there is no data."""
    if data is not None and class_names is None:
        split = getattr(data, "train", data)
        return tuple(split.targets)
    check_choice("task", task, TASKS)
    names = tuple(class_names or ())
    shape = (0,) if task == "multiclass" else (0, len(names))
    labels = np.zeros(shape, np.int64 if task == "multiclass" else np.float32)
    return (Target(DEFAULT_TARGET, task, names, labels),)


def check_head(dropout: float, hidden: Sequence[int], activation: str) -> None:
    """Raise ConfigError, with all that is wrong, unless a head can be built like this."""
    problems = []
    if not 0 <= dropout < 1:
        problems.append(f"`dropout` must be in [0, 1). Received: {dropout!r}.")
    if isinstance(hidden, (str, int)) or any(
        not isinstance(units, (int, np.integer)) or units < 1 for units in hidden
    ):
        problems.append(
            "`hidden` must be numbers of units of at least 1, such as (256,). "
            f"Received: {hidden!r}."
        )
    try:
        keras.activations.get(activation)
    except ValueError:
        problems.append(f"`activation` must be one that Keras knows. Received: {activation!r}.")
    if problems:
        raise ConfigError(" ".join(problems))
