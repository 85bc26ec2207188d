"""What a phase minimises: the head's loss, smoothed and weighted as the phase asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from tftune.config import HeadSpec, Phase
from tftune.data.dataset import Split
from tftune.errors import ConfigError, did_you_mean
from tftune.training.losses import head_loss


def training_loss(head: HeadSpec, phase: Phase) -> keras.losses.Loss:
    """Return the loss between a head's logits and its labels.

    Raises:
        ConfigError: if the phase smooths labels of a task that has no classes to spread over.
    """
    if not phase.label_smoothing:
        return head_loss(head)
    if head.task == "multilabel":
        return keras.losses.BinaryCrossentropy(
            from_logits=True, label_smoothing=phase.label_smoothing
        )
    if head.task != "multiclass":
        raise ConfigError(
            f"`label_smoothing` is for classes. Received: {phase.label_smoothing} for a "
            f"{head.task} head. Set it to 0."
        )
    return SmoothedCrossentropy(phase.label_smoothing)


class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of integer labels of which a share is spread evenly over all classes.

    Args:
        smoothing: that share, in [0, 1).

    References:
        Szegedy et al. 2016, https://arxiv.org/abs/1512.00567, section 7.
    """

    def __init__(self, smoothing: float) -> None:
        super().__init__(name="smoothed_crossentropy")
        self.smoothing = smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return one loss an example, in nats, from labels and logits."""
        log_probabilities = keras.ops.log_softmax(keras.ops.cast(y_pred, "float32"))
        labels = keras.ops.cast(keras.ops.reshape(y_true, (-1,)), "int32")
        chosen = keras.ops.one_hot(labels, y_pred.shape[-1])
        of_label = -keras.ops.sum(chosen * log_probabilities, axis=-1)
        of_all = -keras.ops.mean(log_probabilities, axis=-1)
        return (1 - self.smoothing) * of_label + self.smoothing * of_all


def class_weight_table(phase: Phase, split: Split) -> dict[int, float] | None:
    """Return what Keras takes as `class_weight`, or None.

    "balanced" gives a class num_examples / (num_classes present * examples of the class), as
    scikit-learn does, so that the mean weight of an example is 1.

    Raises:
        ConfigError: if the weights name unknown classes, or the task is not multiclass.
    """
    wanted = phase.class_weights
    if wanted is None:
        return None
    if split.task != "multiclass":
        raise ConfigError(
            f"`class_weights` is for one class an example. Received: {split.task} data. "
            "Leave it None."
        )
    if isinstance(wanted, Mapping):
        unknown = [name for name in wanted if name not in split.class_names]
        if unknown:
            raise ConfigError(
                f"`class_weights` must name classes of the data. Received: {unknown}."
                f"{did_you_mean(unknown[0], split.class_names)}"
            )
        return {i: float(wanted.get(name, 1.0)) for i, name in enumerate(split.class_names)}
    counts = np.bincount(split.labels, minlength=split.num_classes)
    present = np.count_nonzero(counts)
    return {
        index: float(len(split) / (present * count)) if count else 1.0
        for index, count in enumerate(counts)
    }
