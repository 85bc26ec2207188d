"""A trial of a head: built, trained and judged on cached features."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold

from tftune.builders.heads import dense_layer
from tftune.builders.new_head import head_alone
from tftune.builders.transfer_model import TransferModel
from tftune.config.phase import Phase
from tftune.config.plan import Plan
from tftune.data.dataset import Dataset
from tftune.data.targets import Target
from tftune.errors import ConfigError
from tftune.training.head_start import fit_head
from tftune.training.objective import class_weights, repeated_target, training_objective
from tftune.training.probe import Linear
from tftune.training.seeds import draw_states
from tftune.tuning.features import Features
from tftune.tuning.halving import halved_once
from tftune.tuning.head_training import HeadTraining
from tftune.tuning.objective import figures_of
from tftune.tuning.search_space import SearchSpace
from tftune.tuning.trial_plan import head_of, plan_of

_COLLECT_EVERY = 10


@dataclass
class Outcome:
    """What a trial came to.

    Attributes:
        figures: on validation, or over all folds.
        plan: what `fine_tune` would do to get there.
        backbone: the backbone's name.
        head: how the head is built, as `with_head` takes it.
        weights: the values of the weights that trained, by path.
        notes: what the reader should know, one sentence each.
    """

    figures: dict[str, float]
    plan: Plan
    backbone: str
    head: dict[str, Any]
    weights: dict[str, np.ndarray]
    notes: list[str] = field(default_factory=list)


class HeadTrials:
    """Runs trials that train heads alone.

    Args:
        features: of every backbone.
        plans: the default plan of every backbone, which says what the space does not.
        space: what values stand for.
        seed: decides first weights, the order of examples and folds.
        folds: judge by cross-validation over training and validation examples; None judges on the
            validation split.
    """

    def __init__(
        self,
        features: Features,
        plans: Mapping[str, Plan],
        space: SearchSpace,
        seed: int,
        folds: int | None = None,
    ) -> None:
        self._features = features
        self._plans = plans
        self._space = space
        self._seed = seed
        self._folds = _split(features.data, folds, seed) if folds else None
        self._probes: dict[Any, dict[str, Linear]] = {}
        self._count = 0

    def __call__(
        self, values: Mapping[str, Any], epochs: int | None = None, use_folds: bool = True
    ) -> Outcome:
        """Run a trial.

        Args:
            values: as the oracle chose them; none give the default plan and the model's own head.
            epochs: how many, where that is not the plan's to say.
            use_folds: whether folds judge, if there are any; without them there are weights.

        Raises:
            NonFiniteLossError: if the loss became NaN or infinite.
            ConfigError: if the values do not fit together.
        """
        settings = self._space.settings(values) if values else {}
        if epochs is not None:
            settings["feature_extraction.epochs"] = epochs
        backbone = settings.get("backbone", next(iter(self._features.models)))
        model = self._features.models[backbone]
        plan = plan_of(model, self._features.data, self._plans[backbone], settings, phases=1)
        head = head_of(model, settings)
        (figures, weights), plan, notes = halved_once(
            lambda plan: self._run(backbone, plan, head, use_folds),
            plan,
            len(self._features.data.train),
        )
        self._count += 1
        if self._count % _COLLECT_EVERY == 0:
            gc.collect()  # traced functions refer to themselves, so only this frees them
        return Outcome(figures, plan, backbone, head, weights, notes)

    def _run(
        self, backbone: str, plan: Plan, head: dict[str, Any], use_folds: bool
    ) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        data, model = self._features.data, self._features.models[backbone]
        phase = plan.phases[0]
        _check(phase, plan)
        repeated_target(phase, data.train)  # refuses what cannot be repeated
        shaped = {name: value for name, value in head.items() if name != "pooling"}
        pooling = head["pooling"]
        views = self._features.views(backbone, pooling, plan)
        rows = self._features.of(backbone, pooling, data.validation)
        train, validation = data.train.targets, data.validation.targets
        keras.utils.set_random_seed(plan.seed)
        top = head_alone(model, rows.shape[1], **shaped)
        below = model.backbone
        draw_states(top, plan.seed, 0, first=len(below.variables) - len(below.weights))
        objective = training_objective(model.heads, phase, data.train)
        key = (backbone, pooling)
        if use_folds and self._folds is not None:
            # Held-out examples are judged as they are; of validation examples no views are drawn.
            features = [np.concatenate([view, rows]) for view in views]
            whole = [
                replace(one, labels=np.concatenate([one.labels, other.labels]))
                for one, other in zip(train, validation, strict=True)
            ]
            training = HeadTraining(top, phase, objective, _taken(whole, self._folds[0][0]))
            logits: dict[str, np.ndarray] = {}
            for number, (inside, outside) in enumerate(self._folds):
                seen, inner = [view[inside] for view in features], _taken(whole, inside)
                held_out = (features[0][outside], _taken(whole, outside))
                start = self._start(training, (*key, number), seen[0], inner, *held_out)
                found = training.fit(seen, inner, held_out, plan.seed, start)
                for name, rows in found.items():
                    shape = (len(whole[0]), *rows.shape[1:])
                    logits.setdefault(name, np.zeros(shape, np.float32))[outside] = rows
            return figures_of(model.heads, logits, _labels(model, whole)), {}
        training = HeadTraining(top, phase, objective, train)
        start = self._start(training, key, views[0], train, rows, validation)
        logits = dict(training.fit(views, train, (rows, validation), plan.seed, start))
        weights = {weight.path: np.array(weight.numpy()) for weight in top.weights}
        return figures_of(model.heads, logits, _labels(model, validation)), weights

    def _start(
        self,
        training: HeadTraining,
        key: Any,
        features: np.ndarray,
        targets: Sequence[Target],
        held_out: np.ndarray,
        held_out_targets: Sequence[Target],
    ) -> dict[str, Linear]:
        """Return probes by layer, where the phase starts from them and the heads are linear."""
        phase, heads = training.phase, training.objective.heads
        linear = len(training.top.weights) == 2 * len(heads)
        if not (phase.start_from_probe and linear):
            return {}
        key = (*key, repr(phase.class_weights))
        if key not in self._probes:
            found = {}
            for head, target, other in zip(heads, targets, held_out_targets, strict=True):
                weights = None
                if head.task != "regression":
                    weights = class_weights(phase, target, len(heads))
                probe = fit_head(head, target, other, weights, features, held_out)
                if probe is not None:
                    found[dense_layer(head)] = probe
            self._probes[key] = found
        return self._probes[key]


def _taken(targets: Sequence[Target], chosen: np.ndarray) -> list[Target]:
    return [target.take(chosen) for target in targets]


def _labels(model: TransferModel, targets: Sequence[Target]) -> dict[str, np.ndarray]:
    pairs = zip(model.heads, targets, strict=True)
    return {head.name: target.labels for head, target in pairs}


def _check(phase: Phase, plan: Plan) -> None:
    if phase.precision != "float32":
        raise ConfigError(
            "`feature_extraction.precision` must be 'float32' in a search; a head gains nothing "
            f"from less. Received: {phase.precision!r}."
        )


def _split(data: Dataset, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split training and validation examples, in this order, into folds.

    Returns:
        For each fold, what is trained on and what is judged on.
    """
    labels = np.concatenate([data.train.labels, data.validation.labels])
    if not 2 <= folds <= len(labels):
        raise ConfigError(
            f"`folds` must be between 2 and the {len(labels)} examples. Received: {folds}."
        )
    kind = KFold
    # Stratified folds need an example of every class in each.
    if labels.ndim == 1 and np.unique(labels, return_counts=True)[1].min() >= folds:
        kind = StratifiedKFold
    splitter = kind(folds, shuffle=True, random_state=seed)
    return list(splitter.split(labels, labels if labels.ndim == 1 else None))
