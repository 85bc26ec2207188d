"""One phase: cut the model at its boundary, train what is above, keep the best weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tftune.builders.transfer_model import TransferModel
from tftune.cache.store import ActivationStore
from tftune.config.phase import CONTRASTIVE, Phase
from tftune.config.plan import Plan
from tftune.data.dataset import Dataset
from tftune.errors import NonFiniteLossError
from tftune.progress import Progress
from tftune.training.batches import examples_an_epoch, labels_of
from tftune.training.boundary import CutModel, cut_for_phase
from tftune.training.callbacks import (
    History,
    Journal,
    KeepBest,
    StopOnNonFiniteLoss,
    assign,
    copy_of,
)
from tftune.training.contrastive import train_contrastively
from tftune.training.devices import Devices, in_place_of
from tftune.training.epochs import fit_epochs
from tftune.training.head_start import start_heads
from tftune.training.interpolate import best_mix
from tftune.training.interrupts import Interrupts
from tftune.training.objective import plain_objective, repeated_target, training_objective
from tftune.training.optimizer import build_optimizer, step_scales
from tftune.training.precision import computing_in
from tftune.training.run_state import PhaseRecord, RunState, Training
from tftune.training.schedules import ReduceOnPlateau
from tftune.training.sentinel import Sentinel, promised_variables

_LARGEST_BATCH = 256
_STEPS_FOR_AUTO = 16


@dataclass
class Surroundings:
    """What a phase needs beside the model and the data.

    Attributes:
        plan: the whole plan.
        progress: where to show it.
        callbacks: makes the caller's own Keras callbacks.
        store: the activation cache.
        log: told every row of history.
        state: the run's state, which writes the checkpoints.
        last_cut: how the last phase cut the model, when it trained from the cache above a boundary
            inside the backbone.
        pretrained: the backbone's weights at the start of the run by path, for `l2_sp`.
        devices: what to train on.
        interrupts: stops training where Ctrl-C was asked for and lost.
    """

    plan: Plan
    progress: Progress
    callbacks: Callable[[], Sequence[keras.callbacks.Callback]]
    store: ActivationStore | None
    log: Callable[[dict[str, Any]], None]
    state: RunState
    pretrained: dict[str, np.ndarray] = field(default_factory=dict)
    devices: Devices = field(default_factory=Devices)
    interrupts: Interrupts = field(default_factory=Interrupts)
    last_cut: CutModel | None = None


@dataclass(frozen=True)
class _Prepared:
    """A phase whose cache is filled and whose weights are where training starts.

    Attributes:
        cut: the model, cut at the phase's boundary.
        data: what it trains and validates on.
        phase: how.
        record: where what happens is written down.
        before: the weights that train, as they are before the phase.
        first_logits: the validation split's logits with those.
        around: everything else.
    """

    cut: CutModel
    data: Dataset
    phase: Phase
    record: PhaseRecord
    before: list[np.ndarray]
    first_logits: Any
    around: Surroundings


def run_phase(model: TransferModel, data: Dataset, index: int, around: Surroundings) -> PhaseRecord:
    """Train one phase in place.

    Args:
        model: changed in place; afterwards it holds the phase's best weights.
        data: trained on `train`, judged on `validation`.
        index: which of the plan's phases.
        around: everything else; its `state` may hold a checkpoint of this phase to continue from.

    Returns:
        The record of the phase.

    Raises:
        SentinelError: if other weights moved than the phase promises.
        NonFiniteLossError: if the loss became NaN or infinite; the best weights so far are back.
    """
    phase = around.plan.phases[index]
    record = PhaseRecord(around.plan.labels[index])
    repeated = repeated_target(phase, data.train)
    model.set_trainable(phase.unfreeze)
    started = time.perf_counter()
    cut = cut_for_phase(model, data, around.plan, phase, around.progress, around.store)
    cut.repeated = repeated
    record.notes.extend(cut.notes)
    if cut.boundary is not None:
        record.seconds["cache"] = time.perf_counter() - started
    variables = list(cut.top.trainable_variables)
    continued = around.state.within_phase
    if continued is None:
        if phase.start_from_probe and cut.head_only:
            started = time.perf_counter()
            for name in start_heads(cut, data, phase):
                record.notes.append(f"{record.label}: no probe fits {name}; it starts as built.")
            record.seconds["probe"] = time.perf_counter() - started
        before = copy_of(variables)
    else:
        before = continued.start
    first = cut.logits(data.validation) if continued is None else continued.first_logits
    record.logits["probe" if cut.head_only else "before"] = first
    if phase.epochs:
        started = time.perf_counter()
        if phase.name == CONTRASTIVE:
            train_contrastively(cut, data, phase, record, around, before, first)
        else:
            _train(_Prepared(cut, data, phase, record, before, first, around))
        record.seconds["train"] = time.perf_counter() - started
        if not cut.head_only:
            record.logits["fine-tuned"] = cut.logits(data.validation)
        if phase.interpolate:
            started = time.perf_counter()
            chosen_by = plain_objective(model.heads, phase, data.train)
            mixed = best_mix(cut, data.validation, before, first, chosen_by)
            record.logits["interpolated"], share = mixed
            record.notes.append(f"{record.label}: kept {share:.0%} of the way it moved.")
            record.seconds["interpolate"] = time.perf_counter() - started
    inside = cut.boundary is not None and not cut.head_only
    around.last_cut = cut if inside else None
    record.logits["kept"] = cut.logits(data.validation)
    return record


def _train(prepared: _Prepared) -> None:
    cut, phase, around = prepared.cut, prepared.phase, prepared.around
    continued = around.state.within_phase
    num_train = len(prepared.data.train)
    size = continued.meta["batch_size"] if continued else first_batch_size(phase, num_train)
    while True:
        try:
            return _fit(prepared, size)
        except tf.errors.ResourceExhaustedError:
            if phase.batch_size != "auto" or size == 1:
                raise
            prepared.record.notes.append(
                f"{prepared.record.label}: {size} examples a step did not fit into memory, so it "
                f"started again with {size // 2}."
            )
            assign(cut.top.trainable_variables, prepared.before)
            around.state.within_phase = None
            size //= 2


def _fit(prepared: _Prepared, batch_size: int) -> None:
    cut, data, phase, record = prepared.cut, prepared.data, prepared.phase, prepared.record
    before, first_logits, around = prepared.before, prepared.first_logits, prepared.around
    model, plan, devices = cut.model, around.plan, around.devices
    steps = devices.steps(examples_an_epoch(len(data.train), cut.repeated), batch_size)
    objective = training_objective(model.heads, phase, data.train)
    with computing_in(phase.precision, cut.top, [h.logits_layer for h in model.heads]):
        top = devices.place(cut.top)
        with devices.scope():
            optimizer = build_optimizer(phase, steps, step_scales(model, phase), around.pretrained)
            objective.compile(top, optimizer)
            top.optimizer.build(top.trainable_variables)
        averages = (lambda: optimizer._model_variables_moving_average) if phase.ema else None
        lowest = objective.value(labels_of(data.validation), first_logits, batch_size)
        best = KeepBest(top.trainable_variables, lowest, phase.patience, averages)
        history = History(
            record.label,
            phase.epochs,
            record.rows,
            around.progress.step(record.label),
            around.log,
        )
        plateau = ReduceOnPlateau(lowest) if phase.schedule == "reduce_on_plateau" else None
        journal = Journal(steps)
        training = Training(
            top, record, best, history, journal, plateau, batch_size, before, first_logits
        )
        validation = cut.ordered_batches(data.validation, batch_size)
        continued = around.state.within_phase
        if continued is not None:
            # Running metrics are variables that Keras makes when it first needs them.
            top.test_on_batch(*next(iter(validation)))
            training.restore(continued)
        journal.write = lambda: around.state.write_if_due(training)
        own = [
            around.interrupts,
            *devices.validators(cut.top, objective, validation),
            Sentinel(
                in_place_of(model.keras_model.weights, top),
                in_place_of(promised_variables(model, phase.unfreeze), top),
                # Late in a cosine a step may be too small to change a weight.
                0 if continued is not None else _first_check(phase, data, steps),
            ),
            StopOnNonFiniteLoss(journal.epoch * steps + journal.step),
            best,
            *([plateau] if plateau else []),
            history,
            *around.callbacks(),
            journal,
        ]
        try:
            fit_epochs(
                top,
                phase.epochs,
                steps,
                journal,
                lambda place: cut.training_batches(
                    data.train, batch_size, plan.seed, place, devices.mirrored
                ),
                own,
                None if devices.mirrored else validation,
                lambda: best.stopped,
            )
        except NonFiniteLossError:
            best.restore()
            devices.bring_back(top, cut.top)
            raise
        history.finish()
        if phase.interpolate and not phase.patience:
            # The mix is judged with the start, and at its own temperature. An epoch that one number
            # would make the best by plain loss is an early one, before anything was learnt.
            best.keep_last()
        else:
            best.restore()
        devices.bring_back(top, cut.top)


def _first_check(phase: Phase, data: Dataset, steps: int) -> int:
    """Return after how many steps every weight that trains must have moved; 0 for never."""
    if phase.precision == "mixed_float16":
        return 0  # a scaled loss that overflows skips the step
    # A head learns nothing from a batch in which all its labels are unknown.
    return 1 if all(target.known.all() for target in data.train.targets) else steps


def first_batch_size(phase: Phase, num_examples: int) -> int:
    """Return the phase's batch size; "auto" is the largest power of two with enough steps."""
    if isinstance(phase.batch_size, int):
        return phase.batch_size
    wanted = max(8, num_examples // _STEPS_FOR_AUTO)
    return min(_LARGEST_BATCH, 1 << (wanted.bit_length() - 1))
