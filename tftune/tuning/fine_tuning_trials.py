"""A trial of fine-tuning: one of the best heads, trained on together with the top stages."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tftune.builders.new_head import with_head
from tftune.builders.transfer_model import TransferModel
from tftune.cache.store import ActivationStore
from tftune.config.plan import Plan
from tftune.data.dataset import Dataset
from tftune.training.callbacks import assign, copy_of
from tftune.training.fine_tune import fine_tune
from tftune.tuning.halving import halved_once
from tftune.tuning.head_trials import Outcome
from tftune.tuning.objective import figures_of
from tftune.tuning.search_space import SearchSpace
from tftune.tuning.trial_plan import plan_of

HEAD = "head"
"""The name under which the oracle chooses what to start from."""


class FineTuningTrials:
    """Runs trials that fine-tune; every one leaves the backbones as it found them.

    Args:
        models: by the names of their backbones.
        data: what is trained and judged on.
        plans: the default plan of every backbone, with both phases.
        space: what values stand for.
        heads: the trials to start from by name, the default head's first: what each came to, and
            the values it was run with.
        store: the activation cache.
    """

    def __init__(
        self,
        models: Mapping[str, TransferModel],
        data: Dataset,
        plans: Mapping[str, Plan],
        space: SearchSpace,
        heads: Mapping[str, tuple[Callable[[], Outcome], Mapping[str, Any]]],
        store: ActivationStore | None,
    ) -> None:
        self._models = models
        self._data = data
        self._plans = plans
        self._space = space
        self._heads = heads
        self._store = store

    def __call__(
        self, values: Mapping[str, Any], epochs: int | None = None, use_folds: bool = True
    ) -> Outcome:
        """Run a trial.

        Args:
            values: as the oracle chose them; none give the default plan.
            epochs: of fine-tuning, where that is not the plan's to say.
            use_folds: makes no difference here.
        """
        name = values.get(HEAD, next(iter(self._heads)))
        find, before = self._heads[name]
        start = find()
        settings = self._space.settings({**before, **values}) if values else {}
        if epochs is not None:
            settings["fine_tuning.epochs"] = epochs
        shared = self._models[start.backbone]
        plan = plan_of(shared, self._data, self._plans[start.backbone], settings, phases=2)
        # The head's own trial says what was done to it, were it Hyperband's epochs.
        phases = (start.plan.phases[0], *plan.phases[1:])
        (figures, weights, notes), plan, told = halved_once(
            lambda plan: self._run(start, plan), plan.replace(phases=phases), len(self._data.train)
        )
        gc.collect()
        return Outcome(figures, plan, start.backbone, start.head, weights, [*told, *notes])

    def _run(
        self, start: Outcome, plan: Plan
    ) -> tuple[dict[str, float], dict[str, np.ndarray], list[str]]:
        shared = self._models[start.backbone]
        with untouched(shared):
            model = with_head(shared, **start.head)
            set_weights(model, start.weights)
            rest = plan.replace(phases=plan.phases[1:], stages=plan.stages[1:])
            run = fine_tune(model, self._data, rest, verbose=False, store=self._store)
            judged = run.validation[rest.labels[-1]]
            logits, labels = {}, {}
            for evaluation in (judged, *judged.others):
                found = evaluation.predictions
                assert found is not None and found.logits is not None
                logits[evaluation.head], labels[evaluation.head] = found.logits, found.labels
            figures = figures_of(model.heads, logits, labels)
            trained = model.keras_model.trainable_weights
            weights = {w.path: np.array(w.numpy()) for w in trained}
            # A head is whole or not at all, whatever part of it trained last.
            weights.update({path: _value(model, path) for path in start.weights})
        return figures, weights, [note for note in run.notes if "kept" in note]


def set_weights(model: TransferModel, weights: Mapping[str, np.ndarray]) -> None:
    """Give a model weights by path."""
    by_path = {weight.path: weight for weight in model.keras_model.weights}
    assign([by_path[path] for path in weights], list(weights.values()))


@contextlib.contextmanager
def untouched(*models: TransferModel) -> Iterator[None]:
    """Put back weights and what trains, once the block is left."""
    kept = [
        (model, copy_of(model.keras_model.weights), [x.trainable for x in model.keras_model.layers])
        for model in models
    ]
    try:
        yield
    finally:
        for model, values, flags in kept:
            for layer, flag in zip(model.keras_model.layers, flags, strict=True):
                layer.trainable = flag
            for weight, value in zip(model.keras_model.weights, values, strict=True):
                if not np.array_equal(weight.numpy(), value):
                    weight.assign(value)


def best_heads(ranked: Sequence[str], count: int, default: str) -> list[str]:
    """Return the names of the heads to start from, the default one first."""
    return [default, *(name for name in ranked[:count] if name != default)]


def _value(model: TransferModel, path: str) -> np.ndarray:
    return next(np.array(w.numpy()) for w in model.keras_model.weights if w.path == path)
