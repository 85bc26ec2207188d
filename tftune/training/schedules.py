"""How the learning rate moves over a phase."""

from __future__ import annotations

import math
from typing import Any

import keras

from tftune.config.phase import Phase

_ONE_CYCLE_RISE = 0.3
_ONE_CYCLE_START = 1 / 25
_ONE_CYCLE_END = 1e-4
_PLATEAU_PATIENCE = 2
_PLATEAU_FACTOR = 1 / 3


def learning_rate_schedule(
    phase: Phase, steps_per_epoch: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Return the phase's learning rate as Keras takes it.

    Every schedule starts above zero, so that the first step moves weights and can be checked.
    """
    total = max(1, phase.epochs * steps_per_epoch)
    if phase.schedule == "one_cycle":
        return OneCycle(phase.learning_rate, total)
    if phase.schedule != "warmup_cosine":
        return phase.learning_rate
    warm_up = max(1, round(phase.warm_up * total))
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=phase.learning_rate / warm_up,
        decay_steps=max(1, total - warm_up),
        warmup_target=phase.learning_rate,
        warmup_steps=warm_up,
    )


class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """A cosine up to the peak over three tenths of the steps, and one down to almost nothing.

    Args:
        peak: the highest rate.
        total_steps: how many steps the cycle has.

    References:
        Smith and Topin 2019, https://arxiv.org/abs/1708.07120.
    """

    def __init__(self, peak: float, total_steps: int) -> None:
        super().__init__()
        self.peak = peak
        self.total_steps = total_steps

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step, counted from 0."""
        step = keras.ops.cast(step, "float32")
        rise = max(1.0, _ONE_CYCLE_RISE * self.total_steps)
        fall = max(1.0, self.total_steps - rise)
        up = keras.ops.clip(step / rise, 0, 1)
        down = keras.ops.clip((step - rise) / fall, 0, 1)
        start, end = self.peak * _ONE_CYCLE_START, self.peak * _ONE_CYCLE_END
        rising = start + (self.peak - start) * (1 - keras.ops.cos(math.pi * up)) / 2
        falling = end + (self.peak - end) * (1 + keras.ops.cos(math.pi * down)) / 2
        return keras.ops.where(step < rise, rising, falling)

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor takes."""
        return {"peak": self.peak, "total_steps": self.total_steps}


class ReduceOnPlateau(keras.callbacks.Callback):
    """Divides the rate by three after two epochs without a better validation loss.

    Attributes:
        lowest: the lowest validation loss so far.
        without_gain: epochs since then, or since the last reduction.
    """

    def __init__(self, lowest: float, without_gain: int = 0) -> None:
        super().__init__()
        self.lowest = lowest
        self.without_gain = without_gain

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Count, and reduce."""
        loss = (logs or {})["val_loss"]
        if loss < self.lowest:
            self.lowest, self.without_gain = loss, 0
            return
        self.without_gain += 1
        if self.without_gain >= _PLATEAU_PATIENCE:
            rate = self.model.optimizer.learning_rate
            rate.assign(rate.value * _PLATEAU_FACTOR)
            self.without_gain = 0
