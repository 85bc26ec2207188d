"""Optimizers as a phase asks for them: each variable at its own rate, decayed and pulled back."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from packaging.version import Version

from tftune.builders.stages import unfrozen_stages
from tftune.builders.transfer_model import TransferModel
from tftune.config.phase import Phase
from tftune.errors import ConfigError
from tftune.training.schedules import learning_rate_schedule

_MUON_TRAINS = Version("3.13")

# Where Keras' own default is not what a reader expects of the name.
_DEFAULTS: dict[str, dict[str, Any]] = {"sgd": {"momentum": 0.9}}


def build_optimizer(
    phase: Phase,
    steps_per_epoch: int,
    scales: Mapping[str, float] | None = None,
    anchors: Mapping[str, np.ndarray] | None = None,
) -> keras.optimizers.Optimizer:
    """Make a new optimizer for a phase.

    Adam and its kin divide by the size of the gradient, so scaling gradients would not scale their
    steps. Here the learning rate that reaches each variable's update is scaled, which scales the
    step of every Keras optimizer.

    Args:
        phase: names the optimizer, its peak rate, schedule, decay, clipping and averaging.
        steps_per_epoch: batches an epoch.
        scales: for each variable's path, its rate over the phase's; all 1 by default.
        anchors: for some variables' paths, the values they are pulled towards by `phase.l2_sp`.

    Returns:
        A Keras optimizer without state. Building it on a variable that `scales` does not name
        raises ConfigError.

    Raises:
        ConfigError: if Keras does not accept the phase's optimizer config.
    """
    if isinstance(phase.optimizer, str):
        name, own = phase.optimizer, dict(_DEFAULTS.get(phase.optimizer, {}))
    else:
        name, own = phase.optimizer_name, dict(phase.optimizer.get("config", {}))
    for settled in ("learning_rate", "weight_decay", "global_clipnorm", "use_ema", "ema_momentum"):
        own.pop(settled, None)
    try:
        optimizer = _with_own_rates(_class_named(name))(
            learning_rate=learning_rate_schedule(phase, steps_per_epoch),
            weight_decay=phase.weight_decay,
            global_clipnorm=phase.clip_norm or None,
            use_ema=phase.ema > 0,
            ema_momentum=phase.ema or 0.99,
            **own,
        )
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"`optimizer` was not accepted by Keras. Received: {phase.optimizer!r}. {error}"
        ) from error
    optimizer.scales_by_path = scales
    optimizer.anchors_by_path = dict(anchors or {}) if phase.l2_sp else {}
    optimizer.pull = phase.l2_sp
    return optimizer


def check_optimizers(phases: Sequence[Phase]) -> None:
    """Refuse what the installed Keras names but cannot train with.

    Raises:
        ConfigError: if a phase asks for Muon and Keras is older than 3.13, whose Muon looks for
            names that TensorFlow's variables do not have.
    """
    asked = any(phase.optimizer_name == "muon" for phase in phases)
    if asked and Version(keras.__version__) < _MUON_TRAINS:
        raise ConfigError(
            f"Muon does not train on TensorFlow in Keras {keras.__version__}; it does from "
            f'{_MUON_TRAINS} on. Upgrade Keras or take optimizer="adamw".'
        )


def step_scales(model: TransferModel, phase: Phase) -> dict[str, float]:
    """Return each weight's rate over the phase's: the head 1, a stage k below it `layer_decay`^k.

    Returns:
        Scales by variable path, for every weight of the head and of the unfrozen stages.
    """
    depth: dict[tuple[str, str], int] = {}
    for below, stage in enumerate(reversed(unfrozen_stages(model.stages, phase.unfreeze)), 1):
        for layer in stage.layers:
            for name in stage.variables or ("",):
                depth[layer, name] = below
    return {
        weight.path: phase.layer_decay
        ** depth.get((layer.name, weight.name), depth.get((layer.name, ""), 0))
        for layer in model.keras_model.layers
        for weight in layer.weights
    }


def _class_named(name: str) -> Any:
    # `keras.optimizers.get` does not know every class that Keras has: not "lamb".
    for kind in vars(keras.optimizers).values():
        if isinstance(kind, type) and kind.__name__.lower() == name:
            return kind
    return type(keras.optimizers.get(name))


@functools.cache
def _with_own_rates(kind: Any) -> Any:
    """Derive an optimizer class that gives each variable its own rate, decay and pull.

    Weight decay is applied here and not by Keras, which would decay every variable at the phase's
    rate whatever its own.
    """

    class OwnRates(kind):
        scales_by_path: Mapping[str, float] | None = None
        anchors_by_path: Mapping[str, np.ndarray] = {}
        pull = 0.0

        def build(self, variables: Sequence[keras.Variable]) -> None:
            if self.built:
                return
            super().build(variables)
            scales = self.scales_by_path
            missing = [v.path for v in variables if scales is not None and v.path not in scales]
            if missing:
                raise ConfigError(f"`scales` must name every variable. Missing: {missing}.")
            self._step_scales = [scales[v.path] if scales is not None else 1.0 for v in variables]
            self._anchors = []
            for variable in variables:
                value = self.anchors_by_path.get(variable.path)
                anchor = None
                if value is not None:
                    anchor = self.add_variable_from_reference(variable, name="anchor")
                    anchor.assign(value)
                self._anchors.append(anchor)

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            index = self._get_variable_index(variable)
            rate = keras.ops.cast(learning_rate, variable.dtype) * self._step_scales[index]
            if self.weight_decay:
                self.assign_sub(variable, variable * (rate * self.weight_decay))
            anchor = self._anchors[index]
            if anchor is not None:
                self.assign_sub(variable, (variable - anchor.value) * (rate * self.pull))
            super().update_step(gradient, variable, rate)

        def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
            # On one device there is nothing to sum; and summing registers a gradient with
            # TensorFlow under a new name, which keeps the traced graph for as long as the process.
            if tf.distribute.get_strategy().num_replicas_in_sync == 1:
                return grads_and_vars
            return super()._all_reduce_sum_gradients(grads_and_vars)

        def _apply_weight_decay(self, variables: Sequence[keras.Variable]) -> None:
            pass  # done in `update_step`

        def finalize_variable_values(self, var_list: Sequence[keras.Variable]) -> None:
            pass  # the best averages are kept by us; Keras would put the last ones in place

    OwnRates.__name__ = kind.__name__
    return OwnRates
