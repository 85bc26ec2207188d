"""Random layers whose draws are a function of the plan's seed alone."""

from __future__ import annotations

import keras
import numpy as np

from tftune.builders.transfer_model import TransferModel


def seed_layers(model: TransferModel, seed: int, phase: int) -> None:
    """Give every random layer (dropout) a state that depends on the seed and the phase only.

    Keras seeds them when a model is built, so a process that builds it again would draw otherwise.

    Args:
        model: the model.
        seed: the plan's seed.
        phase: index of the phase about to begin.
    """
    draw_states(model.keras_model, seed, phase)


def draw_states(network: keras.Model, seed: int, phase: int, first: int = 0) -> None:
    """Do the same for a network, or for the part of one that has `first` such states below it."""
    weights = {id(weight) for weight in network.weights}
    states = [v for v in network.variables if id(v) not in weights]
    for index, state in enumerate(states, start=first):
        if "seed" in state.path:
            drawn = np.random.default_rng([seed, phase, index]).integers(0, 2**31, state.shape)
            state.assign(drawn.astype(state.dtype))
