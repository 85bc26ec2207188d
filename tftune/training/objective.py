"""What a phase minimises: the head's loss, smoothed and weighted as the phase asks."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np

from tftune.config.model_spec import HeadSpec
from tftune.config.phase import Phase
from tftune.data.dataset import Split
from tftune.errors import ConfigError, did_you_mean
from tftune.training.losses import head_loss


def training_loss(head: HeadSpec, phase: Phase, split: Split) -> keras.losses.Loss:
    """Return the loss between a head's logits and its labels.

    Args:
        head: names the task.
        phase: smooths labels and weighs classes.
        split: the training split, whose labels "balanced" weights come from.

    Raises:
        ConfigError: if the phase's settings do not fit the task or the classes.
    """
    return head_loss(
        head,
        label_smoothing=phase.label_smoothing,
        class_weights=class_weights(phase, split),
    )


def class_weights(phase: Phase, split: Split) -> list[float] | None:
    """Return what each class weighs, or None where all weigh the same.

    "balanced" gives a class num_examples / (num_classes present * examples of the class), as
    scikit-learn does, so that the mean weight of an example is 1. Where an example may have several
    classes, a "yes" weighs as much as all of the class's "no" together.

    Raises:
        ConfigError: if the weights name unknown classes.
    """
    wanted = phase.class_weights
    if wanted is None:
        return None
    if isinstance(wanted, Mapping):
        unknown = [name for name in wanted if name not in split.class_names]
        if unknown:
            raise ConfigError(
                f"`class_weights` must name classes of the data. Received: {unknown}."
                f"{did_you_mean(unknown[0], split.class_names)}"
            )
        return [float(wanted.get(name, 1.0)) for name in split.class_names]
    counts = split.targets[0].counts
    if split.task == "multilabel":
        known = np.isfinite(split.labels).sum(axis=0)
        return [float((k - c) / c) if c else 1.0 for c, k in zip(counts, known, strict=True)]
    present = np.count_nonzero(counts)
    return [float(counts.sum() / (present * count)) if count else 1.0 for count in counts]
