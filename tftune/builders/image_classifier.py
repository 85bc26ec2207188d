"""Building a classifier from a preset and a dataset."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import keras

from tftune.builders.backbones import build_backbone
from tftune.builders.heads import LOGITS, POOLED, PROBABILITIES, attach_head
from tftune.builders.presets import DEFAULT_PRESET, get_preset
from tftune.builders.transfer_model import TransferModel
from tftune.config import HeadSpec, ImageInput, ModelSpec
from tftune.data.targets import DEFAULT_TARGET
from tftune.errors import ConfigError


def build_image_classifier(
    backbone: str = DEFAULT_PRESET,
    data: Any = None,
    *,
    class_names: Sequence[str] | None = None,
    image_size: tuple[int, int] | None = None,
    weights: str | os.PathLike[str] | None = "imagenet",
    dropout: float = 0.2,
    resize: str = "bilinear",
) -> TransferModel:
    """Put a new head on a pretrained backbone.

    Args:
        backbone: name of a preset; `tftune backbones` lists them.
        data: a Dataset or Split whose class names the head gets.
        class_names: the class names, when there is no `data`.
        image_size: (height, width) in pixels; the preset's own by default.
        weights: "imagenet", None for random ones, or a weights file of this backbone without its
            classifier.
        dropout: share of pooled features dropped in training, in [0, 1).
        resize: how images are resampled to `image_size`; part of the saved model.

    Returns:
        A model whose backbone is frozen. It takes raw RGB pixels in [0, 255]; the preprocessing
        the backbone's weights expect is inside.

    Raises:
        PresetError: if the backbone is unknown.
        WeightsError: if the weights cannot be loaded.
        ConfigError: if the class names are missing, doubled or fewer than two.
    """
    preset = get_preset(backbone)
    names = tuple(class_names if class_names is not None else getattr(data, "class_names", ()))
    if len(names) < 2 or len(set(names)) != len(names):
        raise ConfigError(
            "`data` or `class_names` must give at least two different class names. "
            f"Received: {list(names)}."
        )
    if not 0 <= dropout < 1:
        raise ConfigError(f"`dropout` must be in [0, 1). Received: {dropout!r}.")
    image_input = ImageInput(image_size or preset.image_size, resize)
    network = build_backbone(preset, image_input.image_size, weights)
    probabilities = attach_head(network.output, len(names), dropout)
    spec = ModelSpec(
        preset=preset.name,
        image_input=image_input,
        features_layer=network.operations[-1].name,
        pooled_layer=POOLED,
        heads=(HeadSpec(DEFAULT_TARGET, "multiclass", names, LOGITS, PROBABILITIES),),
    )
    model = TransferModel(keras.Model(network.input, probabilities, name="classifier"), spec)
    model.set_trainable("none")
    return model
