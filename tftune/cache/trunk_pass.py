"""Running a frozen trunk once over examples and keeping what comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import keras
import numpy as np
import tensorflow as tf

from tftune.cache.store import ActivationStore
from tftune.config import ImageInput
from tftune.data.examples import Examples
from tftune.data.pipeline import image_batches

Progress = Callable[[int, int], None]
"""Called with (examples done, examples in all)."""


class FrozenTrunk(Protocol):
    """What a trunk must offer to be cached."""

    @property
    def keras_model(self) -> keras.Model:
        """From pixels to the boundary."""

    @property
    def image_input(self) -> ImageInput:
        """The resize contract."""

    @property
    def forward(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """`keras_model` in inference mode as one compiled function."""

    @property
    def fingerprint(self) -> str:
        """A digest of everything that decides the activations."""


def boundary_activations(
    trunk: FrozenTrunk,
    examples: Examples,
    dtype: str = "float32",
    batch_size: int = 32,
    store: ActivationStore | None = None,
    on_progress: Progress | None = None,
) -> np.ndarray:
    """Return the trunk's output on every example, from the cache when it is there.

    Args:
        trunk: the frozen part of a network.
        examples: the inputs.
        dtype: how activations are stored, "float32" or "float16".
        batch_size: examples a step of the pass.
        store: the cache; the default one if None.
        on_progress: told how far the pass is.

    Returns:
        Memory-mapped, shape (num_examples, *boundary shape), of `dtype`, in the examples' order.
    """
    store = store or ActivationStore()
    path = store.path(trunk.fingerprint, examples.fingerprints, dtype)
    found = store.read(path)
    if found is not None and len(found) == len(examples):
        return found
    batches = _run(trunk, examples, batch_size, on_progress)
    shape = (len(examples), *trunk.keras_model.output_shape[1:])
    return store.write(path, shape, dtype, batches)  # type: ignore[arg-type]


def _run(
    trunk: FrozenTrunk, examples: Examples, batch_size: int, on_progress: Progress | None
) -> Iterator[np.ndarray]:
    done = 0
    for pixels in image_batches(examples, trunk.image_input, batch_size):
        yield trunk.forward(pixels).numpy()
        done += len(pixels)
        if on_progress:
            on_progress(done, len(examples))
