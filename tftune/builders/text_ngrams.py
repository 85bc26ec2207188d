"""The dependable floor for texts: hashed words and parts of words, trained from scratch.

References:
    Joulin et al. 2016, "Bag of Tricks for Efficient Text Classification" (fastText),
    https://arxiv.org/abs/1607.01759.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

_BYTES = 1 << 16
"""What of a text is read."""
_LONGEST = 2000
"""Words and parts of words of a text that count."""


@keras.saving.register_keras_serializable(package="tftune")
class HashedNgrams(keras.layers.Layer):
    """Strings to a vector: the mean of embeddings of words, pairs of words and parts of words.

    Words are runs of letters and digits, in lower case; they, pairs of neighbours and all runs of
    three and four characters of a word in angle brackets are hashed to rows of one table. What it
    needs is plain TensorFlow, in the graph.

    Args:
        dimension: of the vectors.
        buckets: rows of the table.
    """

    opaque = True  # its operations are no kernels

    def __init__(self, dimension: int = 64, buckets: int = 1 << 16, **arguments: Any) -> None:
        arguments.setdefault("autocast", False)
        super().__init__(**arguments)
        self.dimension, self.buckets = dimension, buckets
        self.table = self.add_weight(
            shape=(buckets, dimension),
            initializer=keras.initializers.RandomUniform(-0.05, 0.05),
            name="embeddings",
        )
        self.supports_jit = False  # strings cannot go through XLA
        self.built = True

    def call(self, texts: tf.Tensor) -> tf.Tensor:
        """Return vectors, shape (batch, dimension); zeros where a text holds no word.

        Args:
            texts: strings, shape (batch,) or, for pairs, (batch, 2).
        """
        if texts.shape.rank == 2:
            texts = tf.strings.reduce_join(texts, axis=1, separator=" ")
        ids = tf.strings.to_hash_bucket_fast(ngrams_of(texts), self.buckets)
        rows = tf.gather(self.table.value, ids.flat_values)
        count = ids.nrows()
        summed = tf.math.unsorted_segment_sum(rows, ids.value_rowids(), count)
        counted = tf.cast(tf.maximum(ids.row_lengths(), 1), summed.dtype)
        return summed / tf.sqrt(counted)[:, tf.newaxis]

    def compute_output_spec(self, texts: Any) -> keras.KerasTensor:
        """Say what comes out."""
        return keras.KerasTensor((texts.shape[0], self.dimension), "float32")

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        return {**super().get_config(), "dimension": self.dimension, "buckets": self.buckets}


def ngrams_of(texts: tf.Tensor) -> tf.RaggedTensor:
    """Return words, pairs of words and parts of words, ragged shape (batch, count)."""
    texts = tf.strings.unicode_transcode(
        tf.strings.substr(texts, 0, _BYTES), "UTF-8", "UTF-8", errors="ignore"
    )
    lowered = tf.strings.lower(texts, encoding="utf-8")
    words = tf.strings.split(tf.strings.regex_replace(lowered, r"[^\pL\pN]+", " "))[:, :_LONGEST]
    pairs = tf.strings.ngrams(words, 2, separator=" ")
    letters = tf.strings.unicode_split(tf.strings.join(["<", words, ">"]), "UTF-8")
    parts = tf.strings.ngrams(letters, [3, 4], separator="").merge_dims(1, 2)[:, : 4 * _LONGEST]
    return tf.concat([words, pairs, parts], axis=1)
