"""Finding a learning rate by raising it step by step."""

from __future__ import annotations

import keras
import numpy as np

from tftune.builders.transfer_model import TransferModel
from tftune.cache.store import ActivationStore
from tftune.config.phase import Phase, Unfreeze
from tftune.config.plan import Plan
from tftune.data.dataset import Dataset
from tftune.errors import ConfigError
from tftune.progress import Progress
from tftune.results.studies import RateSearch
from tftune.training.boundary import cut_for_phase
from tftune.training.callbacks import assign, copy_of
from tftune.training.objective import training_objective
from tftune.training.optimizer import build_optimizer

_SMOOTHING = 0.9
_DIVERGED = 4.0


def find_learning_rate(
    model: TransferModel,
    data: Dataset,
    *,
    unfreeze: Unfreeze = "none",
    low: float = 1e-6,
    high: float = 1.0,
    steps: int = 100,
    batch_size: int = 32,
    optimizer: str = "adamw",
    seed: int = 0,
    verbose: bool = True,
    store: ActivationStore | None = None,
) -> RateSearch:
    """Train a few steps at exponentially rising rates and see where the loss falls fastest.

    Weights, random states and what is trainable are put back; the model's own optimizer, if it
    has one, is not used.

    Args:
        model: looked at, not changed.
        data: its `train` split gives the batches.
        unfreeze: what of the backbone would train.
        low: the first rate.
        high: the last rate.
        steps: how many rates are tried; fewer when the loss explodes.
        batch_size: examples a step.
        optimizer: the name of a Keras optimizer.
        seed: of the order of examples.
        verbose: show progress on standard error.
        store: where boundary activations are cached.

    Returns:
        Rates, losses and a suggestion.

    Raises:
        ConfigError: if the range or the number of steps is invalid.

    References:
        Smith 2017, https://arxiv.org/abs/1506.01186.
    """
    if not 0 < low < high or steps < 5:
        raise ConfigError(
            "`low` must be above 0 and below `high`, and `steps` at least 5. "
            f"Received: {low}, {high}, {steps}."
        )
    settings = {"schedule": "constant", "optimizer": optimizer, "batch_size": batch_size}
    phase = Phase("fine_tuning", unfreeze, 1, low, **settings)  # type: ignore[arg-type]
    variables = list(model.keras_model.variables)
    flags = [layer.trainable for layer in model.keras_model.layers]
    before = copy_of(variables)
    try:
        model.set_trainable(unfreeze)
        with Progress(verbose) as progress:
            plan = Plan((phase,), seed=seed)
            cut = cut_for_phase(model, data, plan, phase, progress, store)
            objective = training_objective(model.heads, phase, data.train)
            objective.compile(cut.top, build_optimizer(phase, steps))
            batches = iter(cut.training_batches(data.train, batch_size, seed, (0, 0)))
            rates = np.geomspace(low, high, steps)
            losses = _losses(cut.top, batches, rates)
    finally:
        assign(variables, before)
        for layer, trainable in zip(model.keras_model.layers, flags, strict=True):
            layer.trainable = trainable
    rates = rates[: len(losses)]
    slope = np.gradient(losses, np.log(rates))
    return RateSearch(rates, losses, float(rates[int(slope.argmin())]))


def _losses(top: keras.Model, batches: object, rates: np.ndarray) -> np.ndarray:
    """Return the exponentially smoothed loss at each rate, until it has exploded."""
    smoothed: list[float] = []
    average = 0.0
    for step, rate in enumerate(rates, 1):
        top.optimizer.learning_rate.assign(rate)
        top.reset_metrics()
        inputs, labels = next(batches)  # type: ignore[call-overload]
        loss = float(top.train_on_batch(inputs, labels, return_dict=True)["loss"])
        average = _SMOOTHING * average + (1 - _SMOOTHING) * loss
        value = average / (1 - _SMOOTHING**step)
        if not np.isfinite(value) or (step > 5 and value > _DIVERGED * min(smoothed)):
            break
        smoothed.append(value)
    return np.array(smoothed)
