"""Texts as examples: one text each, or a pair."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tftune.data.decode import WHITE
from tftune.errors import DataError


@dataclass(frozen=True, eq=False)
class Texts:
    """Texts by index, held in memory.

    Attributes:
        columns: the texts; for pairs two columns of equal length.
        names: what to call each example in a message.
    """

    columns: tuple[tuple[str, ...], ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, texts: Sequence[str] | Sequence[Sequence[str]], names: Sequence[str]) -> Texts:
        """Take texts, or pairs of texts.

        Args:
            texts: strings, or pairs of strings.
            names: one an example.
        """
        rows = [(text,) if isinstance(text, str) else tuple(text) for text in texts]
        return cls(tuple(zip(*rows, strict=True)), tuple(names))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def num_texts(self) -> int:
        """Texts an example: 1, or 2 for pairs."""
        return len(self.columns)

    def take(self, indices: np.ndarray) -> Texts:
        """Return the chosen examples, in the order given."""
        chosen = np.asarray(indices, int).tolist()
        columns = tuple(tuple(column[i] for i in chosen) for column in self.columns)
        return Texts(columns, tuple(self.names[i] for i in chosen))

    @functools.cached_property
    def fingerprints(self) -> tuple[str, ...]:
        """A digest of each example's content, 32 hexadecimal digits each."""
        return tuple(
            hashlib.blake2b("\0\0".join(row).encode("utf-8", "replace"), digest_size=16).hexdigest()
            for row in zip(*self.columns, strict=True)
        )

    def text(self, index: int) -> str | tuple[str, ...]:
        """Return an example's text, or pair of texts."""
        row = tuple(column[index] for column in self.columns)
        return row[0] if len(row) == 1 else row

    def text_reader(self, num_texts: int = 1) -> Callable[[tf.Tensor], tf.Tensor]:
        """Return a function for `tf.data` that gives the text of the example at an index.

        Args:
            num_texts: how many the model reads.

        Returns:
            From an int64 scalar to a string, shape (), or for pairs (2,).

        Raises:
            DataError: if the examples have another number of texts.
        """
        if num_texts != self.num_texts:
            raise DataError(
                f"The model reads {num_texts} text(s) an example, but the data has "
                f"{self.num_texts}. Load it with as many text columns."
            )

        def read(index: np.ndarray) -> bytes | np.ndarray:
            row = [column[int(index)].encode("utf-8", "replace") for column in self.columns]
            return row[0] if len(row) == 1 else np.array(row, object)

        shape = () if num_texts == 1 else (num_texts,)

        def read_tensor(index: tf.Tensor) -> tf.Tensor:
            return tf.ensure_shape(tf.numpy_function(read, [index], tf.string), shape)

        return read_tensor

    def reader(self, background: Sequence[int] = WHITE) -> Callable[[tf.Tensor], tf.Tensor]:
        """Raise DataError: texts have no pixels."""
        raise _no_pixels()

    def pixels(self, index: int, background: Sequence[int] = WHITE) -> np.ndarray:
        """Raise DataError: texts have no pixels."""
        raise _no_pixels()

    def problems(self) -> list[str]:
        """Return nothing: texts in memory do not go bad."""
        return []

    def encoded(self, index: int, background: Sequence[int] = WHITE) -> bytes:
        """Return the text in UTF-8; of a pair both, with a zero byte between them."""
        row = [column[index] for column in self.columns]
        if len(row) > 1:
            row = [text.replace("\0", "") for text in row]
        return "\0".join(row).encode("utf-8", "replace")


def _no_pixels() -> DataError:
    return DataError("This works on images. The data holds texts, which have no pixels.")
