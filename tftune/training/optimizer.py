"""Optimizers and learning-rate schedules as a phase asks for them."""

from __future__ import annotations

import keras

from tftune.config import Phase

_WARM_UP_SHARE = 0.1


def build_optimizer(phase: Phase, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Make a new optimizer for a phase.

    Args:
        phase: names the optimizer, its peak rate, schedule and weight decay.
        steps_per_epoch: batches an epoch.

    Returns:
        A Keras optimizer without state.
    """
    rate = learning_rate_schedule(phase, steps_per_epoch)
    if phase.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=0.9, weight_decay=phase.weight_decay)
    if phase.optimizer == "adam":
        return keras.optimizers.Adam(rate, weight_decay=phase.weight_decay)
    return keras.optimizers.AdamW(rate, weight_decay=phase.weight_decay)


def learning_rate_schedule(
    phase: Phase, steps_per_epoch: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Return the phase's learning rate as Keras takes it.

    The warm-up starts above zero, so that the first step moves weights and can be checked.
    """
    if phase.schedule == "constant":
        return phase.learning_rate
    total = max(1, phase.epochs * steps_per_epoch)
    warm_up = max(1, round(_WARM_UP_SHARE * total))
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=phase.learning_rate / warm_up,
        decay_steps=max(1, total - warm_up),
        warmup_target=phase.learning_rate,
        warmup_steps=warm_up,
    )
