"""The loss a head is trained with."""

from __future__ import annotations

import keras

from tftune.config import HeadSpec
from tftune.errors import ConfigError


def head_loss(head: HeadSpec) -> keras.losses.Loss:
    """Return the loss between a head's logits and its labels.

    Args:
        head: names the task.

    Returns:
        A Keras loss that takes logits.

    Raises:
        ConfigError: if the task cannot be trained.
    """
    if head.task == "multiclass":
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    raise ConfigError(f"`task` {head.task!r} cannot be trained.")
