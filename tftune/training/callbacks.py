"""What watches a phase while Keras trains: best weights, history, checkpoints, non-finite losses.

Their state is kept here and not in Keras' own callbacks, which forget it when training continues
in another process (keras#17012) and leak it from phase to phase (keras#13488).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tftune.errors import NonFiniteLossError

FIGURES = ("accuracy", "error")


def copy_of(variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    """Return the variables' values as arrays of their own."""
    # By way of a tensor: what several devices keep apart is no array before it is summed.
    return [np.array(tf.convert_to_tensor(variable.value)) for variable in variables]


def assign(variables: Sequence[keras.Variable], values: Sequence[np.ndarray]) -> None:
    """Give each variable its value."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


class KeepBest(keras.callbacks.Callback):
    """Remembers the weights with the lowest validation loss, those at the start included.

    Attributes:
        lowest: the lowest validation loss so far.
        weights: the weights that had it.
        without_gain: epochs since then.

    Args:
        variables: what trains.
        lowest: the validation loss at the start.
        patience: epochs without a lower loss before training stops; 0 never does.
        averages: where an exponential moving average is kept instead of the weights themselves.
    """

    def __init__(
        self,
        variables: Sequence[keras.Variable],
        lowest: float,
        patience: int,
        averages: Callable[[], Sequence[keras.Variable]] | None = None,
    ) -> None:
        super().__init__()
        self._variables = list(variables)
        self._averages = averages
        self._patience = patience
        self._raw: list[np.ndarray] | None = None
        self.lowest = lowest if math.isfinite(lowest) else math.inf
        self.weights = copy_of(self._variables)
        self.without_gain = 0

    @property
    def stopped(self) -> bool:
        """Whether patience has run out."""
        return bool(self._patience) and self.without_gain >= self._patience

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Validate the average where there is one."""
        if self._averages is not None:
            self._raw = copy_of(self._variables)
            assign(self._variables, copy_of(self._averages()))

    def on_test_end(self, logs: dict | None = None) -> None:
        """Go on training the weights themselves."""
        if self._raw is not None:
            assign(self._variables, self._raw)
            self._raw = None

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Remember better weights, or count an epoch without gain."""
        loss = (logs or {})["val_loss"]
        if loss < self.lowest:
            self.lowest = float(loss)
            self.weights = copy_of(self._averages() if self._averages else self._variables)
            self.without_gain = 0
            return
        self.without_gain += 1
        if self.stopped:
            self.model.stop_training = True

    def restore(self) -> None:
        """Put the remembered weights back."""
        assign(self._variables, self.weights)

    def keep_last(self) -> None:
        """Keep the weights of the last step, or their average where there is one."""
        if self._averages is not None:
            assign(self._variables, copy_of(self._averages()))


class History(keras.callbacks.Callback):
    """Collects a row of history an epoch, and shows and logs it.

    Args:
        label: the phase's name.
        epochs: how many epochs it has at most.
        rows: rows of earlier epochs, when training continues.
        show: told (epochs done, epochs in all, note).
        log: told (epoch, row); writes it where it is watched from.
    """

    def __init__(
        self,
        label: str,
        epochs: int,
        rows: list[dict[str, Any]],
        show: Callable[[int, int, str], None],
        log: Callable[[dict[str, Any]], None],
    ) -> None:
        super().__init__()
        self.rows = rows
        self._label = label
        self._epochs = epochs
        self._show = show
        self._log = log
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Keep what the epoch came to."""
        measured = {name: float(value) for name, value in (logs or {}).items()}
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row = {"phase": self._label, "epoch": epoch + 1, **measured, "learning_rate": rate}
        row["seconds"] = time.perf_counter() - self._started
        self.rows.append(row)
        self._log(row)
        told = [
            f"{name.replace('_', ' ')} {value:.4g}"
            for name, value in measured.items()
            # Of several heads each one's own figure, and the loss of all together.
            if name == "val_loss" or (name.startswith("val_") and name.endswith(FIGURES))
        ]
        self._show(epoch + 1, self._epochs, ", ".join(told))

    def finish(self) -> None:
        """Say that the phase ended before its last epoch, if it did."""
        if len(self.rows) < self._epochs:
            self._show(self._epochs, self._epochs, "stopped early")


class StopOnNonFiniteLoss(keras.callbacks.Callback):
    """Stops at the first loss that is no finite number.

    Args:
        first_step: steps of this phase taken before, when training continues.

    Raises:
        NonFiniteLossError: from the step at which it happened.
    """

    def __init__(self, first_step: int = 0) -> None:
        super().__init__()
        self.step = first_step

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Look at the loss, a running mean over the epoch that never recovers from NaN."""
        self.step += 1
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
            raise NonFiniteLossError(
                f"The training loss became {loss} at step {self.step} of the phase, at learning "
                f"rate {rate:.3g}. The last good weights were put back. Try a rate ten times "
                "lower, `clip_norm=1.0`, or precision 'float32'; and look at the data for empty "
                "or broken examples."
            )


class Journal(keras.callbacks.Callback):
    """Knows the next batch to train on, and has checkpoints written between batches.

    Attributes:
        epoch: the epoch under way, from 0.
        step: batches of it that were trained on.
        stopped: whether a callback ended training after the last epoch.
        write: called between batches; writes a checkpoint if one is due.
        restore_extras: called once, when Keras has just reset metrics, to put them back.

    Args:
        steps_per_epoch: batches an epoch.
    """

    def __init__(self, steps_per_epoch: int) -> None:
        super().__init__()
        self.epoch = 0
        self.step = 0
        self.stopped = False
        self.write: Callable[[], None] = lambda: None
        self.restore_extras: Callable[[], None] | None = None
        self._steps = steps_per_epoch

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Put back running metrics and random states."""
        if self.restore_extras is not None:
            self.restore_extras()
            self.restore_extras = None

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Count a batch. After an epoch's last, `on_epoch_end` follows and writes."""
        self.step += 1
        if self.step < self._steps:
            self.write()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Turn to the next epoch."""
        self.epoch, self.step = epoch + 1, 0
        self.stopped = self.model.stop_training
        self.write()
