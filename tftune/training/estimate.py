"""Estimating what a plan will take, before anything is trained."""

from __future__ import annotations

import os
import time

import numpy as np
import tensorflow as tf

from tftune.builders.stages import unfrozen_stages
from tftune.builders.transfer_model import TransferModel
from tftune.cache.engines import SLOW_FLOPS_A_SECOND, EngineChoice, expected_pass
from tftune.cache.store import ActivationStore
from tftune.cache.trunk_pass import planned_engine, required_bytes
from tftune.config.cost import PhaseCost
from tftune.config.phase import Phase
from tftune.config.plan import Plan
from tftune.data.dataset import Dataset
from tftune.data.pipeline import input_reader
from tftune.training.batches import examples_an_epoch
from tftune.training.objective import repeated_target
from tftune.training.rows import boundary_beneath
from tftune.training.views import Views, pass_name

# Below so much work at so low a speed, a measurement would take longer than it tells.
_SECONDS_WORTH_MEASURING = 10.0

_MEASURED_IMAGES = 4
_BACKWARD = 2.0
"""What the backward pass takes over the forward one: a product for inputs and one for weights."""
_SECONDS_A_STEP = 0.004
_SECONDS_A_PHASE = 2.0
"""What Keras takes to compile and trace, mostly."""
_AUTOMATIC_BATCH = 32


def estimate_costs(
    model: TransferModel, data: Dataset, plan: Plan, store: ActivationStore | None = None
) -> tuple[PhaseCost, ...]:
    """Estimate each phase's time and space; what the cache holds already costs nothing.

    The speed of the network is measured on a few images where there is much to do.

    Args:
        model: what will be trained.
        data: what on.
        plan: how.
        store: the cache; the default one if None.

    Returns:
        One entry a phase.
    """
    store = store or ActivationStore()
    work = [_PhaseWork(model, data, plan, phase, store) for phase in plan.phases]
    seen: set[str] = set()
    for phase_work in work:
        phase_work.count_rows(seen)
    speed = _speed(model, data, work)
    return tuple(phase_work.cost(speed) for phase_work in work)


def scratch_seconds(model: TransferModel, data: Dataset, plan: Plan) -> float:
    """Estimate how long training the same network from random weights takes; nothing is cached.

    Args:
        model: what to copy.
        data: what it will be trained on.
        plan: as many epochs as this one has.
    """
    epochs = sum(phase.epochs for phase in plan.phases)
    phase = plan.phases[-1].replace(unfreeze="all", epochs=epochs, oversample=False)
    work = _PhaseWork(model, data, plan.replace(cache="off"), phase, ActivationStore())
    return work.cost(_speed(model, data, [work])).train_seconds


def expected_steps(plan: Plan, costs: tuple[PhaseCost, ...], data: Dataset) -> dict[str, float]:
    """Return the steps of a run as progress calls them, with the seconds each is expected to take.

    Args:
        plan: what will be done.
        costs: what `estimate_costs` said of it.
        data: the time of a pass is shared out over its splits.
    """
    steps: dict[str, float] = {}
    views = Views.of_plan(plan)
    for label, phase, cost in zip(plan.labels, plan.phases, costs, strict=False):
        if cost.boundary:
            passes = {
                pass_name(split.name, cost.boundary): len(split)
                for split in (data.validation, data.train)
            }
            for view in range(1, views.for_epochs(phase.epochs) if views else 1):
                passes[pass_name(data.train.name, cost.boundary, view)] = len(data.train)
            whole = sum(passes.values())
            for name, count in passes.items():
                steps.setdefault(name, cost.pass_seconds * count / whole)
        steps[label] = cost.train_seconds
    return steps


def _speed(model: TransferModel, data: Dataset, work: list[_PhaseWork]) -> _Speed:
    speed = _Speed(model, data)
    flops = sum(phase_work.flops for phase_work in work)
    if flops / SLOW_FLOPS_A_SECOND > _SECONDS_WORTH_MEASURING:
        speed.measure()
    return speed


class _Speed:
    """What an image costs: running it through the backbone, and reading it."""

    def __init__(self, model: TransferModel, data: Dataset) -> None:
        self._model = model
        self._examples = data.train.examples
        self.forward_seconds = _flops(model) / SLOW_FLOPS_A_SECOND
        self.read_seconds = 0.0

    def measure(self) -> None:
        model = self._model
        count = min(_MEASURED_IMAGES, len(self._examples))
        started = time.perf_counter()
        read = input_reader(self._examples, model.contract)
        images = [read(tf.constant(index, tf.int64)) for index in range(count)]
        # The cores share the reading, and then the network.
        self.read_seconds = (time.perf_counter() - started) / count / (os.cpu_count() or 1)
        batch = tf.stack(images)
        forward = model.cut(model.spec.pooled_layer)[0].forward
        forward(batch)  # traces
        times = []
        for _ in range(2):
            started = time.perf_counter()
            forward(batch)
            times.append(time.perf_counter() - started)
        self.forward_seconds = min(times) / count


class _PhaseWork:
    """What one phase has to run and train."""

    def __init__(
        self, model: TransferModel, data: Dataset, plan: Plan, phase: Phase, store: ActivationStore
    ) -> None:
        self._model, self._data, self._plan, self._phase = model, data, plan, phase
        self._store = store
        disk = plan.cache == "disk"
        self._boundary = model.boundary_below(phase.unfreeze) if disk else None
        total = _flops(model)
        trained = sum(stage.flops for stage in unfrozen_stages(model.stages, phase.unfreeze))
        self._trained_share = trained / total if total else float(phase.unfreeze != "none")
        self._num_train = examples_an_epoch(len(data.train), repeated_target(phase, data.train))
        self._rows = self._cached = self._read = 0
        self._forwards = 0.0
        self._choice = EngineChoice("", "")
        self._bytes = 0

    def count_rows(self, seen: set[str]) -> None:
        """Count what is not in the cache, and not brought there by an earlier phase (`seen`)."""
        boundary, plan, data = self._boundary, self._plan, self._data
        if boundary is None:
            return
        trunk, _ = self._model.cut(boundary)
        dtype = "float32" if boundary == self._model.spec.pooled_layer else plan.cache_dtype
        views = Views.of_plan(plan)
        passes = [(data.train, 0), (data.validation, 0)]
        if views is not None:
            passes += [(data.train, n) for n in range(1, views.for_epochs(self._phase.epochs))]
        for split, number in passes:
            view = views.key(number) if views else ""
            place = f"{boundary} {split.name} {view}"
            if place in seen:
                continue
            seen.add(place)
            lower = boundary_beneath(self._model, plan, boundary, number)
            part = trunk.above(lower) if lower else trunk
            choice, missing = planned_engine(part, split.examples, dtype, self._store, view)
            self._rows += missing
            self._read += 0 if lower else missing
            self._forwards += missing * (self._share_below(boundary) - self._share_below(lower))
            self._cached += len(split) - missing
            if missing and (not self._choice.name or choice.name == "litert"):
                self._choice = choice
        self._bytes = required_bytes(trunk, self._rows, dtype)

    @property
    def _examples_an_epoch(self) -> tuple[float, float]:
        """What an epoch is worth in forward passes of the backbone: training, validation."""
        below = 0.0 if self._boundary is not None else 1 - self._trained_share
        train = below + self._trained_share * (1 + _BACKWARD)
        return train * self._num_train, (below + self._trained_share) * len(self._data.validation)

    def _share_below(self, boundary: str | None) -> float:
        """What is below a boundary, of the backbone's operations; nothing below the pixels."""
        stages = self._model.stages
        if boundary is None:
            return 0.0
        at = [stage.boundary.layer for stage in stages]
        below = stages[: at.index(boundary)] if boundary in at else stages
        return sum(stage.flops for stage in below) / (_flops(self._model) or 1.0)

    @property
    def flops(self) -> float:
        """Operations of it all."""
        images = self._forwards + self._phase.epochs * sum(self._examples_an_epoch)
        return images * _flops(self._model)

    def cost(self, speed: _Speed) -> PhaseCost:
        """Turn the work into time."""
        choice, seconds = self._choice, 0.0
        if self._rows:
            assert self._boundary is not None
            trunk, _ = self._model.cut(self._boundary)
            a_row = speed.forward_seconds * self._forwards / self._rows
            choice, seconds = expected_pass(trunk, choice, self._rows, a_row)
            seconds += self._read * speed.read_seconds
        return PhaseCost(
            boundary=self._boundary or "",
            engine=choice.name,
            reason=choice.reason,
            rows=self._rows,
            cached=self._cached,
            cache_bytes=self._bytes,
            pass_seconds=seconds,
            train_seconds=self._train_seconds(speed),
        )

    def _train_seconds(self, speed: _Speed) -> float:
        phase, held_out = self._phase, len(self._data.validation)
        if not phase.epochs:
            return 0.0
        size = phase.batch_size if isinstance(phase.batch_size, int) else _AUTOMATIC_BATCH
        steps = np.ceil(self._num_train / size) + np.ceil(held_out / size)
        an_epoch = sum(self._examples_an_epoch) * speed.forward_seconds + steps * _SECONDS_A_STEP
        if self._boundary is None:
            an_epoch += (self._num_train + held_out) * speed.read_seconds
        return float(_SECONDS_A_PHASE + phase.epochs * an_epoch)


def _flops(model: TransferModel) -> float:
    return float(sum(stage.flops for stage in model.stages))
