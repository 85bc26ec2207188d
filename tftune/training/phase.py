"""One phase: cut the model at its boundary, train what is above, keep the best weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tftune.builders.transfer_model import TransferModel
from tftune.cache.store import ActivationStore
from tftune.cache.trunk_pass import boundary_activations
from tftune.config import Phase, Plan
from tftune.data.dataset import Dataset, Split
from tftune.progress import Progress
from tftune.training.batches import cached_epochs, image_epochs
from tftune.training.losses import head_loss
from tftune.training.optimizer import build_optimizer
from tftune.training.probe import Probe, fit_probe
from tftune.training.sentinel import Sentinel, promised_variables


@dataclass
class PhaseRecord:
    """What one phase did.

    Attributes:
        rows: one dictionary an epoch, for the history table.
        seconds: time spent, by step.
        probe: the probe the head started from, if any.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    probe: Probe | None = None


def run_phase(
    model: TransferModel,
    data: Dataset,
    plan: Plan,
    phase: Phase,
    progress: Progress,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    store: ActivationStore | None = None,
) -> PhaseRecord:
    """Train one phase in place.

    Args:
        model: changed in place; afterwards it holds the phase's best weights.
        data: trained on `train`, judged on `validation`.
        plan: the whole plan, for its seed and cache settings.
        phase: which of its phases.
        progress: where to show it.
        callbacks: the caller's own, new for this phase.
        store: the activation cache.

    Returns:
        The record of the phase.

    Raises:
        SentinelError: if other weights moved than the phase promises.
    """
    record = PhaseRecord()
    model.set_trainable(phase.unfreeze)
    boundary = model.boundary_below(phase.unfreeze) if plan.cache == "disk" else None
    activations: dict[str, Any] = {}
    started = time.perf_counter()
    if boundary is None:
        top = model.logits_model
    else:
        trunk, top = model.cut(boundary)
        dtype = plan.cache_dtype if boundary != model.spec.pooled_layer else "float32"
        for split in (data.train, data.validation):
            step = progress.step(f"cache {split.name} at {boundary}")
            activations[split.name] = boundary_activations(
                trunk, split.examples, dtype, store=store, on_progress=step
            )
        record.seconds["cache"] = time.perf_counter() - started
    if phase.start_from_probe and activations and boundary == model.spec.pooled_layer:
        started = time.perf_counter()
        record.probe = _start_head(model, data, activations)
        record.seconds["probe"] = time.perf_counter() - started
    if phase.epochs == 0:
        return record

    steps = math.ceil(len(data.train) / phase.batch_size)
    top.compile(
        optimizer=build_optimizer(phase, steps),
        loss=head_loss(model.spec.heads[0]),
        metrics=["accuracy"],
    )
    train, validation = _batches(model, data, plan, phase, activations)
    best = _KeepBest(top, _loss_of(top, validation), phase.patience)
    watched = model.keras_model.weights
    promised = promised_variables(model, phase.unfreeze)
    rows = _Rows(phase, progress.step(phase.name))
    started = time.perf_counter()
    top.fit(
        train,
        epochs=phase.epochs,
        steps_per_epoch=steps,
        validation_data=validation,
        shuffle=False,  # the batches come shuffled
        verbose=0,
        callbacks=[Sentinel(watched, promised), rows, best, *callbacks],
    )
    best.restore()
    record.seconds["train"] = time.perf_counter() - started
    record.rows = rows.rows
    return record


def _start_head(model: TransferModel, data: Dataset, features: dict[str, np.ndarray]) -> Probe:
    probe = fit_probe(
        np.asarray(features["train"]),
        data.train.labels,
        np.asarray(features["validation"]),
        data.validation.labels,
        model.num_classes,
    )
    model.keras_model.get_layer(model.spec.logits_layer).set_weights([probe.kernel, probe.bias])
    return probe


def _batches(
    model: TransferModel,
    data: Dataset,
    plan: Plan,
    phase: Phase,
    activations: dict[str, np.ndarray],
) -> tuple[tf.data.Dataset, tf.data.Dataset]:
    def batches(split: Split, epochs: int | None, seed: int | None) -> tf.data.Dataset:
        size = phase.batch_size
        if not activations:
            return image_epochs(split, model.image_input, size, epochs, seed)
        return cached_epochs(activations[split.name], split.labels, size, epochs, seed)

    return batches(data.train, None, plan.seed), batches(data.validation, 1, None)


def _loss_of(top: keras.Model, validation: tf.data.Dataset) -> float:
    return float(top.evaluate(validation, verbose=0, return_dict=True)["loss"])


class _KeepBest(keras.callbacks.Callback):
    """Remembers the weights with the lowest validation loss, those at the start included."""

    def __init__(self, top: keras.Model, starting_loss: float, patience: int) -> None:
        super().__init__()
        self._variables = list(top.trainable_variables)
        self._lowest = starting_loss
        self._weights = self._copy()
        self._patience = patience
        self._without_gain = 0

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        loss = (logs or {})["val_loss"]
        if loss < self._lowest:
            self._lowest = loss
            self._weights = self._copy()
            self._without_gain = 0
            return
        self._without_gain += 1
        if self._patience and self._without_gain >= self._patience:
            self.model.stop_training = True

    def restore(self) -> None:
        """Put the remembered weights back."""
        for variable, value in zip(self._variables, self._weights, strict=True):
            variable.assign(value)

    def _copy(self) -> list[np.ndarray]:
        return [np.array(keras.ops.convert_to_numpy(v.value)) for v in self._variables]


class _Rows(keras.callbacks.Callback):
    """Collects a row of history an epoch and shows it."""

    def __init__(self, phase: Phase, step: Callable[[int, int, str], None]) -> None:
        super().__init__()
        self.rows: list[dict[str, Any]] = []
        self._phase = phase
        self._step = step
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        logs = logs or {}
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        self.rows.append(
            {
                "phase": self._phase.name,
                "epoch": epoch + 1,
                "loss": logs["loss"],
                "accuracy": logs["accuracy"],
                "val_loss": logs["val_loss"],
                "val_accuracy": logs["val_accuracy"],
                "learning_rate": float(rate),
                "seconds": time.perf_counter() - self._started,
            }
        )
        note = f"val loss {logs['val_loss']:.4f}, val accuracy {logs['val_accuracy']:.3f}"
        self._step(epoch + 1, self._phase.epochs, note)

    def on_train_end(self, logs: dict | None = None) -> None:
        if len(self.rows) < self._phase.epochs:
            self._step(self._phase.epochs, self._phase.epochs, "stopped early")
