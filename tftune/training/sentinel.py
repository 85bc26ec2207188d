"""The sentinel: training moves exactly the variables it promised to move, or it stops."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import keras
import numpy as np

from tftune.builders.stages import trained_weights, unfrozen_stages
from tftune.builders.transfer_model import TransferModel
from tftune.config.phase import Unfreeze
from tftune.errors import SentinelError


def promised_variables(model: TransferModel, unfreeze: Unfreeze) -> list[keras.Variable]:
    """List what a phase must move, from the graph rather than from Keras' `trainable` flags.

    Args:
        model: the model.
        unfreeze: what of the backbone trains.

    Returns:
        The weights of the head and of the unfrozen stages, without statistics and without
        BatchNormalization's.
    """
    backbone = {operation.name for operation in model.backbone.operations}
    stages = unfrozen_stages(model.stages, unfreeze)
    unfrozen = {name for stage in stages for name in stage.layers}
    promised = []
    for layer in model.keras_model.layers:
        if layer.name not in backbone or layer.name in unfrozen:
            promised.extend(trained_weights(layer, stages))
    return promised


class Sentinel(keras.callbacks.Callback):
    """Checks the first steps of a phase, and the whole phase at its end.

    Args:
        watched: every weight of the model, frozen ones and statistics included.
        promised: the weights that training must move.
        check_after: after how many steps every promised weight must have moved; 0 checks only at
            the end that no other did, for training whose steps may rightly move nothing.

    Raises:
        SentinelError: from that training step, or from the end of training.
    """

    def __init__(
        self,
        watched: Sequence[keras.Variable],
        promised: Sequence[keras.Variable],
        check_after: int = 1,
    ) -> None:
        super().__init__()
        self._check_after = check_after
        self._promised = {id(variable) for variable in promised}
        self._watched = list(watched)
        self._before: list[bytes] = []
        self._steps = 0

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Remember every weight."""
        self._before = [_digest(variable) for variable in self._watched]

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """When it is time: promised weights moved, all others did not."""
        self._steps += 1
        if self._steps == self._check_after:
            self.check(all_promised_moved=True)

    def on_train_end(self, logs: dict | None = None) -> None:
        """After the last step: weights that were not promised are still bit-identical."""
        self.check(all_promised_moved=False)

    def check(self, all_promised_moved: bool) -> None:
        """Compare every weight with what was remembered.

        Args:
            all_promised_moved: also require that each promised weight differs.

        Raises:
            SentinelError: naming the weights that broke the promise.
        """
        stuck, strayed = [], []
        for variable, before in zip(self._watched, self._before, strict=True):
            moved = _digest(variable) != before
            promised = id(variable) in self._promised
            if moved and not promised:
                strayed.append(variable.path)
            elif promised and not moved and all_promised_moved:
                stuck.append(variable.path)
        if stuck or strayed:
            raise SentinelError(_message(stuck, strayed))


def _digest(variable: keras.Variable) -> bytes:
    value = np.ascontiguousarray(keras.ops.convert_to_numpy(variable.value))
    return hashlib.blake2b(value.data, digest_size=16).digest()


def _message(stuck: Sequence[str], strayed: Sequence[str]) -> str:
    def listed(names: Sequence[str]) -> str:
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        return ", ".join(names[:5]) + more

    parts = ["Training stopped: the weights did not move as the plan promises."]
    if stuck:
        parts.append(f"Did not move but must: {listed(stuck)}.")
    if strayed:
        parts.append(f"Moved but must not: {listed(strayed)}.")
    parts.append("Use `model.set_trainable` and compile again before training.")
    return " ".join(parts)
