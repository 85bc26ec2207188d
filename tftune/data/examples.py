"""What every source of images offers, so that nothing above it asks where pixels come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from tftune.data.decode import WHITE


class Examples(Protocol):
    """Images by index: files on disk or arrays in memory."""

    def __len__(self) -> int:
        """How many images there are."""

    def take(self, indices: np.ndarray) -> Examples:
        """Return the chosen examples, in the order given."""

    @property
    def names(self) -> tuple[str, ...]:
        """What to call each example in a message: its path, or its place."""

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """A digest of each image's content, 32 hexadecimal digits each."""

    def reader(self, background: Sequence[int] = WHITE) -> Callable[[tf.Tensor], tf.Tensor]:
        """Return a function for `tf.data` that gives the pixels of the example at an index.

        Args:
            background: RGB in [0, 255], shown behind transparent pixels.

        Returns:
            From an int64 scalar to uint8 pixels, shape (height, width, 3), RGB in [0, 255].
        """

    def pixels(self, index: int, background: Sequence[int] = WHITE) -> np.ndarray:
        """Return the same pixels as an array."""

    def problems(self) -> list[str]:
        """Look at every image again; return a sentence about each that cannot be used."""

    def encoded(self, index: int, background: Sequence[int] = WHITE) -> bytes:
        """Return bytes that the exported bytes signature decodes to the same pixels.

        The file's own where TensorFlow decodes it; the pixels as PNG otherwise.
        """
