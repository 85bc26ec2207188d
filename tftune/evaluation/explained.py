"""Which of a model's answers an explanation is about."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from tftune.builders.heads import by_head
from tftune.builders.transfer_model import TransferModel
from tftune.config.model_spec import TAGS, HeadSpec
from tftune.errors import ConfigError, check_choice


def explained_head(model: TransferModel, head: str | None, class_name: str | None) -> HeadSpec:
    """Return the head that is asked about.

    Args:
        model: the model.
        head: its name; the first head if None.
        class_name: what of the head is asked about; only checked here.

    Raises:
        ConfigError: if there is no such head, or the head knows no such class.
    """
    heads = {spec.name: spec for spec in model.heads}
    check_choice("head", head or model.heads[0].name, heads)
    spec = heads[head or model.heads[0].name]
    if spec.task == TAGS:
        raise ConfigError("Tags of words are not explained. `model.predict` gives the words' tags.")
    if class_name is not None:
        check_choice("class_name", class_name, spec.class_names)
    return spec


def explained_class(
    model: TransferModel, spec: HeadSpec, logits: Any, class_name: str | None
) -> tuple[int, float]:
    """Return the class that is asked about, and what the model answers for it.

    Args:
        model: the model.
        spec: one of its heads.
        logits: what `model.logits_model` gave for one example.
        class_name: the class; the most probable one if None (for regression, the first quantity).

    Returns:
        Its place among the head's classes, and its probability or value.
    """
    outputs = model.outputs_from_logits(keras.tree.map_structure(np.asarray, logits))
    answers = np.asarray(by_head(model.heads, outputs)[spec.name])[0]
    if class_name is not None:
        place = spec.class_names.index(class_name)
    else:
        place = int(np.argmax(answers)) if spec.task != "regression" else 0
    return place, float(answers[place])
