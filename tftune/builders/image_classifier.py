"""Building a model from a backbone and a dataset."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tftune.builders.backbones import build_backbone
from tftune.builders.heads import POOLED, attach_heads, head_specs, pool_features
from tftune.builders.presets import DEFAULT_PRESET, get_preset
from tftune.builders.transfer_model import TransferModel
from tftune.config import TASKS, ImageInput, ModelSpec
from tftune.data.targets import DEFAULT_TARGET, Target
from tftune.errors import ConfigError, check_choice


def build_image_classifier(
    backbone: str = DEFAULT_PRESET,
    data: Any = None,
    *,
    class_names: Sequence[str] | None = None,
    task: str = "multiclass",
    image_size: tuple[int, int] | None = None,
    weights: str | os.PathLike[str] | None = "imagenet",
    dropout: float = 0.2,
    hidden: Sequence[int] = (),
    activation: str = "relu",
    pooling: str = "average",
    resize: str = "bilinear",
) -> TransferModel:
    """Put new heads on a pretrained backbone.

    Args:
        backbone: name of a preset; `tftune backbones` lists them.
        data: a Dataset or Split; each of its targets gets a head, by its own task.
        class_names: the class names (for regression, the quantities), when there is no `data`.
        task: "multiclass" (two classes included), "multilabel" or "regression", when there is no
            `data`.
        image_size: (height, width) in pixels; the preset's own by default.
        weights: "imagenet", None for random ones, or a weights file of this backbone without its
            classifier.
        dropout: share of features dropped in training before every layer of the head, in [0, 1).
        hidden: units of hidden layers between the features and the heads; none by default.
        activation: of the hidden layers, by its Keras name.
        pooling: how a feature map becomes one vector: "average", "max" or "concat" (both).
        resize: how images are resampled to `image_size`; part of the saved model.

    Returns:
        A model whose backbone is frozen. It takes raw RGB pixels in [0, 255]; the preprocessing
        the backbone's weights expect is inside.

    Raises:
        PresetError: if the backbone is unknown.
        WeightsError: if the weights cannot be loaded.
        ConfigError: if the class names are missing, doubled or too few, or a setting is invalid.
    """
    preset = get_preset(backbone)
    heads = head_specs(_targets(data, class_names, task))
    _check_head(dropout, hidden, activation)
    image_input = ImageInput(image_size or preset.image_size, resize)
    network = build_backbone(preset, image_input.image_size, weights)
    pooled = pool_features(network.output, pooling)
    outputs = attach_heads(pooled, heads, dropout, hidden, activation)
    spec = ModelSpec(
        preset=preset.name,
        image_input=image_input,
        features_layer=network.operations[-1].name,
        pooled_layer=POOLED,
        heads=heads,
    )
    model = TransferModel(keras.Model(network.input, outputs, name="classifier"), spec)
    model.set_trainable("none")
    return model


def _targets(data: Any, class_names: Sequence[str] | None, task: str) -> tuple[Target, ...]:
    if data is not None and class_names is None:
        split = getattr(data, "train", data)
        return tuple(split.targets)
    check_choice("task", task, TASKS)
    names = tuple(class_names or ())
    shape = (0,) if task == "multiclass" else (0, len(names))
    labels = np.zeros(shape, np.int64 if task == "multiclass" else np.float32)
    return (Target(DEFAULT_TARGET, task, names, labels),)


def _check_head(dropout: float, hidden: Sequence[int], activation: str) -> None:
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
