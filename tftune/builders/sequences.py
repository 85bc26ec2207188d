"""Sequences of texts: padded to one length for the cache, trimmed again for training.

The last channel of a sequence is its mask; see `tftune.builders.bert_math`.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf


@keras.saving.register_keras_serializable(package="tftune")
class PadSequence(keras.layers.Layer):
    """Pads sequences with zeros, which are masked, to one length.

    Args:
        length: of what comes out.
    """

    def __init__(self, length: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.length = length
        self.built = True

    def call(self, sequence: tf.Tensor) -> tf.Tensor:
        """Return a sequence, shape (batch, length, channels)."""
        missing = self.length - tf.shape(sequence)[1]
        return tf.pad(sequence, [[0, 0], [0, missing], [0, 0]])

    def compute_output_spec(self, sequence: Any) -> keras.KerasTensor:
        """Say what comes out."""
        return keras.KerasTensor((sequence.shape[0], self.length, sequence.shape[2]), "float32")

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        return {**super().get_config(), "length": self.length}


def token_counts(network: keras.Model, texts: tf.data.Dataset) -> np.ndarray | None:
    """Count the tokens that a network reads of texts.

    Args:
        network: from strings.
        texts: batches of them.

    Returns:
        int64, shape (num_texts,); None where no layer of the network makes tokens that it trims to
        the longest text of a batch.
    """
    counters = [layer.count for layer in network.layers if hasattr(layer, "count")]
    if not counters:
        return None
    return np.concatenate([np.asarray(counters[0](batch)) for batch in texts])


def without_padding(sequences: np.ndarray) -> np.ndarray:
    """Cut off what is padding in every sequence of a batch.

    Args:
        sequences: shape (batch, length, channels).

    Returns:
        Shape (batch, length of the longest, channels); one position at least.
    """
    used = np.flatnonzero(sequences[:, :, -1].any(axis=0))
    return sequences[:, : used[-1] + 1 if len(used) else 1]
