"""The state of a run between and within phases, as checkpoints hold it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from tftune.builders.transfer_model import TransferModel
from tftune.config.plan import Plan
from tftune.training.callbacks import History, Journal, KeepBest, assign, copy_of
from tftune.training.checkpoint import Checkpoints
from tftune.training.schedules import ReduceOnPlateau
from tftune.training.sentinel import promised_variables


@dataclass
class PhaseRecord:
    """What one phase did.

    Attributes:
        label: the phase's name in the history.
        rows: one dictionary an epoch, for the history table.
        seconds: time spent, by step.
        notes: what the reader should know, one sentence each.
        logits: the validation split's logits under each set of weights that was considered:
            "probe" (or "before", when the phase is not the first), "fine-tuned" and
            "interpolated"; and "kept" under those that were kept. For several heads each is a
            dictionary by head name.
    """

    label: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    logits: dict[str, Any] = field(default_factory=dict)


@dataclass
class WithinPhase:
    """A phase stopped between two batches.

    Attributes:
        meta: what JSON can say: epoch, step, batch_size, rows, notes, seconds, lowest,
            without_gain, plateau.
        start: the trained variables at the start of the phase.
        best: the same with the lowest validation loss so far.
        optimizer: the optimizer's variables.
        extras: random states and running metrics.
        first_logits: the validation split's logits at the start of the phase.
    """

    meta: dict[str, Any]
    start: list[np.ndarray]
    best: list[np.ndarray]
    optimizer: list[np.ndarray]
    extras: list[np.ndarray]
    first_logits: Any


@dataclass
class Training:
    """The parts of a phase under way whose state a checkpoint holds."""

    top: keras.Model
    record: PhaseRecord
    best: KeepBest
    history: History
    journal: Journal
    plateau: ReduceOnPlateau | None
    batch_size: int
    start: list[np.ndarray]
    first_logits: Any

    def extras(self) -> list[keras.Variable]:
        """Random states and running metrics: variables that are no weights."""
        weights = {id(weight) for weight in self.top.weights}
        found = {id(v): v for v in (*self.top.variables, *self.top.metrics_variables)}
        return [variable for key, variable in found.items() if key not in weights]

    def snapshot(self) -> WithinPhase:
        """Copy the state between two batches."""
        plateau = self.plateau
        meta = {
            "epoch": self.journal.epoch,
            "step": self.journal.step,
            "batch_size": self.batch_size,
            "rows": self.history.rows,
            "notes": self.record.notes,
            "seconds": self.record.seconds,
            "lowest": self.best.lowest,
            "without_gain": self.best.without_gain,
            "plateau": [plateau.lowest, plateau.without_gain] if plateau else None,
        }
        return WithinPhase(
            meta,
            self.start,
            self.best.weights,
            copy_of(self.top.optimizer.variables),
            copy_of(self.extras()),
            self.first_logits,
        )

    def restore(self, saved: WithinPhase) -> None:
        """Go back to a snapshot; the weights themselves are the model's and already there."""
        meta = saved.meta
        self.journal.epoch, self.journal.step = meta["epoch"], meta["step"]
        self.journal.restore_extras = lambda: self._restore_extras(saved)
        self.history.rows.extend(meta["rows"])
        self.record.notes.extend(meta["notes"])
        self.record.seconds.update(meta["seconds"])
        self.best.weights = saved.best
        self.best.lowest = meta["lowest"]
        self.best.without_gain = meta["without_gain"]
        if self.plateau is not None:
            self.plateau.lowest, self.plateau.without_gain = meta["plateau"]
        assign(self.top.optimizer.variables, saved.optimizer)

    def _restore_extras(self, saved: WithinPhase) -> None:
        assign(self.extras(), saved.extras)
        if saved.meta["step"] == 0:
            # Saved between two epochs, when the metrics still held the finished one.
            self.top.reset_metrics()


class RunState:
    """Where a run is, and how to write it down and find it again.

    Attributes:
        phase: index of the phase under way.
        finished: records of the phases before it.
        within_phase: where to continue in the phase; None starts at its beginning.

    Args:
        model: whose weights are kept.
        plan: says which weights each phase moves.
        checkpoints: where to.
    """

    def __init__(self, model: TransferModel, plan: Plan, checkpoints: Checkpoints) -> None:
        self.phase = 0
        self.finished: list[PhaseRecord] = []
        self.within_phase: WithinPhase | None = None
        self._model = model
        self._plan = plan
        self._checkpoints = checkpoints

    def read(self) -> bool:
        """Go back to the newest checkpoint, the model's weights included.

        Returns:
            Whether there was one.
        """
        found = self._checkpoints.read()
        if found is None:
            return False
        meta, arrays = found
        self.phase = meta["phase"]
        self.finished = []
        for index, told in enumerate(meta["finished"]):
            names = told.pop("logits")
            logits = {name: _logits_from(arrays, f"finished/{index}/{name}") for name in names}
            self.finished.append(PhaseRecord(**told, logits=logits))
        for weight in self._model.keras_model.weights:
            if f"weight/{weight.path}" in arrays:
                weight.assign(arrays[f"weight/{weight.path}"])
        if meta["within"] is not None:
            self.within_phase = WithinPhase(
                meta["within"],
                **{name: _listed(arrays, name) for name in _LISTS},
                first_logits=_logits_from(arrays, "first_logits"),
            )
        return True

    def begin(self, phase: int) -> None:
        """Write down that a phase is about to begin."""
        self.phase = phase
        self.within_phase = None
        self._write(phase, None)

    def write_if_due(self, training: Training) -> None:
        """Write down the state between two batches, unless that was done a moment ago."""
        if self._checkpoints.due:
            self._write(self.phase, training.snapshot(), training.top)

    def _write(
        self, phase: int, within: WithinPhase | None, top: keras.Model | None = None
    ) -> None:
        if self._checkpoints.folder is None:
            return
        arrays: dict[str, np.ndarray] = {}
        started = phase + (within is not None)
        current = {weight.path: weight for weight in (top.weights if top is not None else ())}
        for earlier in self._plan.phases[:started] or self._plan.phases[:1]:
            for weight in promised_variables(self._model, earlier.unfreeze):
                chosen = current.get(weight.path, weight)
                arrays[f"weight/{weight.path}"] = copy_of([chosen])[0]
        for index, record in enumerate(self.finished):
            for name, logits in record.logits.items():
                arrays.update(_logits_as_arrays(logits, f"finished/{index}/{name}"))
        if within is not None:
            for name in _LISTS:
                for place, value in enumerate(getattr(within, name)):
                    arrays[f"{name}/{place}"] = value
            arrays.update(_logits_as_arrays(within.first_logits, "first_logits"))
        told = [_as_json(record) for record in self.finished]
        meta = {
            "phase": phase,
            "epoch": within.meta["epoch"] if within else 0,
            "step": within.meta["step"] if within else 0,
            "finished": told,
            "within": within.meta if within else None,
        }
        self._checkpoints.write(meta, arrays)


_LISTS = ("start", "best", "optimizer", "extras")


def _listed(arrays: dict[str, np.ndarray], name: str) -> list[np.ndarray]:
    count = sum(key.startswith(f"{name}/") for key in arrays)
    return [arrays[f"{name}/{place}"] for place in range(count)]


def _as_json(record: PhaseRecord) -> dict[str, Any]:
    """Say all of a record but its logits, of which the names are given."""
    told = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
    return {**told, "logits": list(record.logits)}


def _logits_as_arrays(logits: Any, place: str) -> dict[str, np.ndarray]:
    if not isinstance(logits, Mapping):
        return {place: logits}
    return {f"{place}/{head}": rows for head, rows in logits.items()}


def _logits_from(arrays: dict[str, np.ndarray], place: str) -> Any:
    if place in arrays:
        return arrays[place]
    prefix = f"{place}/"
    return {k.removeprefix(prefix): rows for k, rows in arrays.items() if k.startswith(prefix)}
