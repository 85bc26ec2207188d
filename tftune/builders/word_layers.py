"""Layers for a class for every word: which pieces words begin with travels with the sequence.

A word may be several pieces, of which the first answers for it. In token ids other pieces are
written as -id - 1; in a sequence's last channel, its mask, first pieces are 2, other tokens 1 and
padding 0. So one tensor is alive between any two layers here too.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tftune.builders.bert_tokens import BertTokens

_FIRST = 2.0


@keras.saving.register_keras_serializable(package="tftune")
class BertWordTokens(BertTokens):
    """Texts of words between white space to token ids that say where words begin.

    Arguments are those of `BertTokens`.
    """

    def call(self, texts: tf.Tensor) -> tf.Tensor:
        """Return int32, shape (batch, at most sequence_length); see the module.

        Args:
            texts: strings, shape (batch,). A word without any token of its own is unknown.
        """
        tokenizer = self.tokenizer
        words = tf.strings.split(self.bounded(texts))
        pieces = tokenizer.tokenize(words.flat_values)
        # A word of nothing but control characters must stay a word.
        empty = tf.cast(tf.equal(pieces.row_lengths(), 0), tf.int64)
        unknown = tf.fill([tf.reduce_sum(empty)], tokenizer.unknown)
        pieces = tf.concat([pieces, tf.RaggedTensor.from_row_lengths(unknown, empty)], axis=1)
        place = tf.ragged.range(pieces.row_lengths()).flat_values
        marked = tf.where(place == 0, pieces.flat_values, other_piece(pieces.flat_values))
        pieces = tf.RaggedTensor.from_row_splits(marked, pieces.row_splits)
        by_text = tf.RaggedTensor.from_row_splits(pieces, words.row_splits).merge_dims(1, 2)
        cut = by_text[:, : self.sequence_length - 2]
        ends = tf.ones([tf.shape(texts)[0], 1], tf.int32)
        start, end = other_piece(tokenizer.start) * ends, other_piece(tokenizer.end) * ends
        return tf.concat([start, cut, end], axis=1).to_tensor(tokenizer.pad)


def other_piece(token_ids: Any) -> Any:
    """Mark token ids as none that a word begins with; twice gives them back."""
    return -token_ids - 1


def split_marks(token_ids: tf.Tensor, pad: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Part marked token ids into plain ones and the mask, both shape (batch, length)."""
    first = token_ids >= 0
    plain = tf.where(first, token_ids, other_piece(token_ids))
    present = tf.cast(tf.not_equal(plain, pad), tf.float32)
    return plain, present * tf.where(first, _FIRST, 1.0)


@keras.saving.register_keras_serializable(package="tftune")
class Channels(keras.layers.Layer):
    """A sequence without its mask."""

    def call(self, sequence: tf.Tensor) -> tf.Tensor:
        """Return shape (batch, length, hidden_size)."""
        return sequence[..., :-1]

    def compute_output_spec(self, sequence: Any) -> keras.KerasTensor:
        """Say what comes out."""
        return keras.KerasTensor((*sequence.shape[:-1], sequence.shape[-1] - 1), self.compute_dtype)


@keras.saving.register_keras_serializable(package="tftune")
class WordScores(keras.layers.Layer):
    """Scores of all tokens to those of words: what their first pieces have.

    Args:
        length: words that come out; those a text does not have, and those that were cut off, have
            zeros.
    """

    def __init__(self, length: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.length = length

    def call(self, scores: tf.Tensor, sequence: tf.Tensor) -> tf.Tensor:
        """Return shape (batch, length, num_tags).

        Args:
            scores: shape (batch, tokens, num_tags).
            sequence: what they were computed from, with the mask.
        """
        first = tf.cast(sequence[..., -1] > 0.5 * (1 + _FIRST), tf.int32)
        word = tf.where(first > 0, tf.cumsum(first, axis=1) - 1, -1)
        chosen = tf.one_hot(word, self.length, dtype=scores.dtype)
        return tf.einsum("btw,btn->bwn", chosen, scores)

    def compute_output_spec(self, scores: Any, sequence: Any) -> keras.KerasTensor:
        """Say what comes out."""
        return keras.KerasTensor(
            (scores.shape[0], self.length, scores.shape[-1]), self.compute_dtype
        )

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        return {**super().get_config(), "length": self.length}


@keras.saving.register_keras_serializable(package="tftune")
class WordProbabilities(keras.layers.Layer):
    """Softmax over tags; zeros where there is no word."""

    def call(self, scores: tf.Tensor) -> tf.Tensor:
        """Return shape (batch, length, num_tags)."""
        present = tf.reduce_any(tf.not_equal(scores, 0), axis=-1, keepdims=True)
        return tf.nn.softmax(scores) * tf.cast(present, scores.dtype)

    def compute_output_spec(self, scores: Any) -> keras.KerasTensor:
        """Say what comes out."""
        return keras.KerasTensor(scores.shape, self.compute_dtype)
