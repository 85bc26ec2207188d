"""Training on several devices of one machine at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from tftune.builders.hub_layer import HubLayer
from tftune.builders.transfer_model import TransferModel
from tftune.config.phase import CONTRASTIVE
from tftune.config.plan import Plan
from tftune.data.dataset import Dataset
from tftune.errors import ConfigError
from tftune.training.callbacks import assign, copy_of
from tftune.training.objective import Objective


class Devices:
    """Where a phase trains: on one device, or mirrored on several.

    Mirrored, a copy of what trains is made in the strategy's scope, since Keras places variables
    when it makes them; the model itself is never bound to a strategy. Each device gets an equal
    part of every batch, none ever an empty one, whose gradient would be undefined. Validation runs
    on one device, for the last batch of it may be of any size.

    Args:
        strategy: how to train on several devices; None trains on one.
    """

    def __init__(self, strategy: tf.distribute.MirroredStrategy | None = None) -> None:
        self.strategy = strategy

    @property
    def mirrored(self) -> bool:
        """Whether there are several devices."""
        return self.strategy is not None

    def steps(self, num_examples: int, batch_size: int) -> int:
        """Return the steps of an epoch; mirrored, the examples beyond whole batches are left out.

        Those left out differ from epoch to epoch, since the order does.
        """
        return num_examples // batch_size if self.mirrored else -(-num_examples // batch_size)

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Return what to compile in."""
        return self.strategy.scope() if self.strategy is not None else contextlib.nullcontext()

    def place(self, top: keras.Model) -> keras.Model:
        """Return the model to train: `top` itself, or a copy on all devices."""
        if self.strategy is None:
            return top
        # A compiled model's copy would be compiled the same way, with losses Keras does not know.
        bare = keras.Model(top.input, top.output)
        with self.strategy.scope():
            copy = keras.models.clone_model(bare)
            # Also what random layers draw from.
            assign(copy.variables, copy_of(top.variables))
            settle_statistics(copy)
        return copy

    def validators(
        self, top: keras.Model, objective: Objective, validation: tf.data.Dataset
    ) -> list[keras.callbacks.Callback]:
        """Return the callbacks that validate in Keras' place, to come before all that look at it.

        Args:
            top: what `place` was given.
            objective: what is measured.
            validation: batches of (input, label).
        """
        if self.strategy is None:
            return []
        objective.compile(top)
        return [ValidateOnOneDevice(top, validation)]

    def bring_back(self, trained: keras.Model, top: keras.Model) -> None:
        """Give `top` the weights of what `place` made of it."""
        if trained is not top:
            assign(top.weights, copy_of(trained.weights))


class ValidateOnOneDevice(keras.callbacks.Callback):
    """Judges a mirrored model on one device after every epoch, and puts that into the logs.

    Args:
        top: the same network on one device, compiled.
        validation: batches of (input, label).
    """

    def __init__(self, top: keras.Model, validation: tf.data.Dataset) -> None:
        super().__init__()
        self._top = top
        self._validation = validation

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Validate."""
        assign(self._top.weights, copy_of(self.model.weights))
        judged = self._top.evaluate(self._validation, verbose=0, return_dict=True)
        if logs is not None:
            logs.update({f"val_{name}": value for name, value in judged.items()})


def settle_statistics(network: keras.Model) -> None:
    """Let Normalization layers use the mean and variance that were assigned to their weights."""
    for layer in network.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            layer.finalize_state()


def in_place_of(variables: Iterable[keras.Variable], trained: keras.Model) -> list[keras.Variable]:
    """Return each variable, or the one of the same path that a copy of the model trains."""
    own = {weight.path: weight for weight in trained.weights}
    return [own.get(variable.path, variable) for variable in variables]


def check_strategy(strategy: Any, model: TransferModel, data: Dataset, plan: Plan) -> None:
    """Refuse what cannot be trained right on several devices, all of it at once.

    Args:
        strategy: what the caller gave as `strategy`; None is always right.
        model: what will be trained.
        data: on what.
        plan: how.

    Raises:
        ConfigError: naming what cannot be done and what to do instead.
    """
    if strategy is None:
        return
    if not isinstance(strategy, tf.distribute.MirroredStrategy):
        several_machines = isinstance(
            strategy,
            (
                tf.distribute.MultiWorkerMirroredStrategy,
                tf.distribute.ParameterServerStrategy,
            ),
        )
        why = " Keras 3 does not train under it." if several_machines else ""
        raise ConfigError(
            "`strategy` must be a tf.distribute.MirroredStrategy, over the devices of one machine. "
            f"Received: {type(strategy).__name__}.{why} Without `strategy` one device is used."
        )
    count = strategy.num_replicas_in_sync
    problems = []
    if any(not target.known.all() for target in data.train.targets):
        problems.append(
            "labels that are unknown, which would weigh differently on each device: leave those "
            "examples out"
        )
    for label, phase in zip(plan.labels, plan.phases, strict=True):
        size = phase.batch_size
        if isinstance(size, str):
            problems.append(f"{label}'s `batch_size='auto'`: give a number")
        elif size % count:
            problems.append(
                f"{label}'s `batch_size={size}`, no multiple of {count} devices: "
                f"take {max(1, round(size / count)) * count}"
            )
        elif size > len(data.train):
            problems.append(
                f"{label}'s `batch_size={size}` with {len(data.train)} training examples, which "
                "fill no batch: take a smaller one"
            )
        if phase.name == CONTRASTIVE:
            problems.append(f"{label}, whose loss is of all pairs of a batch: train on one device")
        if phase.clip_norm:
            problems.append(
                f"{label}'s `clip_norm`, which each device would apply to its own part of the "
                "gradient: set it to 0"
            )
        if phase.precision == "mixed_float16":
            problems.append(
                f"{label}'s precision 'mixed_float16', whose loss scale is each device's own: take "
                "'mixed_bfloat16' or 'float32'"
            )
        if phase.ema:
            problems.append(f"{label}'s `ema`: set it to 0")
        whole = plan.cache == "off" or phase.unfreeze == "all"
        if whole and any(isinstance(layer, HubLayer) for layer in model.keras_model.layers):
            problems.append(
                f"{label}'s TF-Hub backbone, which cannot be copied: freeze it, with the cache"
            )
    if problems:
        raise ConfigError(
            f"`strategy` trains on {count} devices and cannot do what follows. "
            + "; ".join(dict.fromkeys(problems))
            + "."
        )
