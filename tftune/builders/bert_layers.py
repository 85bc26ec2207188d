"""BERT as a flat graph of Keras layers: tokens, embeddings, layer_0 to layer_N, pooled."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from tftune.builders import bert_math
from tftune.builders.bert_math import BertShape
from tftune.builders.bert_tokens import segments_of
from tftune.builders.word_layers import split_marks

# It adds the same to all logits of a query, which softmax ignores: its gradient is rounding error.
_IDLE = ("key_bias",)


class _BertLayer(keras.layers.Layer):
    """A layer with some of BERT's weights, under the names `BertShape` gives them."""

    def __init__(self, shape: BertShape | Mapping[str, Any], **arguments: Any) -> None:
        super().__init__(**arguments)
        self.shape = shape if isinstance(shape, BertShape) else BertShape(**shape)
        self._drop = keras.layers.Dropout(self.shape.dropout)
        self._named: dict[str, keras.Variable] = {}

    def _add(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        for name, size in shapes.items():
            start = "ones" if name.endswith("gamma") else "zeros" if len(size) == 1 else "normal"
            if start == "normal":
                start = keras.initializers.TruncatedNormal(stddev=0.02)
            self._named[name] = self.add_weight(
                shape=size, initializer=start, name=name, trainable=name not in _IDLE
            )
        self.built = True

    @property
    def fixed_weights(self) -> list[keras.Variable]:
        """What training never moves."""
        return [variable for name, variable in self._named.items() if name in _IDLE]

    def values(self) -> dict[str, Any]:
        """Return the weights' tensors by name."""
        return {name: variable.value for name, variable in self._named.items()}

    def assign(self, weights: Mapping[str, Any]) -> None:
        """Set the weights.

        Args:
            weights: arrays by name.
        """
        for name, variable in self._named.items():
            variable.assign(weights[name])

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer, without its weights."""
        return {**super().get_config(), "shape": dataclasses.asdict(self.shape)}


@keras.saving.register_keras_serializable(package="tftune")
class BertEmbeddings(_BertLayer):
    """Token ids to a sequence.

    Args:
        shape: the encoder's sizes.
        pad: id of the padding.
        end: id of [SEP], which parts the texts of a pair.
        of_words: whether the ids say where words begin; see `tftune.builders.word_layers`.
    """

    def __init__(
        self, shape: Any, pad: int, end: int, of_words: bool = False, **arguments: Any
    ) -> None:
        super().__init__(shape, **arguments)
        self.pad, self.end, self.of_words = pad, end, of_words
        self._add(self.shape.embedding_weights)

    def call(self, token_ids: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Return a sequence, shape (batch, length, hidden_size + 1)."""
        mask = tf.not_equal(token_ids, self.pad)
        if self.of_words:
            token_ids, mask = split_marks(token_ids, self.pad)
        return bert_math.embed(
            self.shape,
            self.values(),
            token_ids,
            mask,
            segments_of(token_ids, self.end),
            lambda x: self._drop(x, training=training),
        )

    def compute_output_spec(self, token_ids: Any, training: Any = None) -> keras.KerasTensor:
        """Say what comes out."""
        return keras.KerasTensor((*token_ids.shape, self.shape.hidden_size + 1), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer, without its weights."""
        own = {"pad": self.pad, "end": self.end, "of_words": self.of_words}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="tftune")
class BertLayer(_BertLayer):
    """One transformer layer.

    Args:
        shape: the encoder's sizes.
    """

    def __init__(self, shape: Any, **arguments: Any) -> None:
        super().__init__(shape, **arguments)
        self._drop_attention = keras.layers.Dropout(self.shape.attention_dropout)
        self._add(self.shape.layer_weights)

    def call(self, sequence: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Return a sequence of the same shape, (batch, length, hidden_size + 1)."""
        return bert_math.transform(
            self.shape,
            self.values(),
            sequence,
            lambda x: self._drop(x, training=training),
            lambda x: self._drop_attention(x, training=training),
        )

    def compute_output_spec(self, sequence: Any, training: Any = None) -> keras.KerasTensor:
        """Say what comes out."""
        return keras.KerasTensor(sequence.shape, self.compute_dtype)


@keras.saving.register_keras_serializable(package="tftune")
class BertPooler(_BertLayer):
    """BERT's own pooler, a dense layer on the first token.

    Args:
        shape: the encoder's sizes.
    """

    def __init__(self, shape: Any, **arguments: Any) -> None:
        super().__init__(shape, **arguments)
        self._add(self.shape.pooler_weights)

    def call(self, sequence: tf.Tensor) -> tf.Tensor:
        """Return vectors, shape (batch, hidden_size)."""
        return bert_math.pool_by_pooler(self.values(), sequence)

    def compute_output_spec(self, sequence: Any) -> keras.KerasTensor:
        """Say what comes out."""
        return keras.KerasTensor((sequence.shape[0], self.shape.hidden_size), self.compute_dtype)


@keras.saving.register_keras_serializable(package="tftune")
class PoolTokens(keras.layers.Layer):
    """A sequence to one vector.

    Args:
        how: "mean", "max" or "cls".
        normalize: scale vectors to length 1.
    """

    def __init__(self, how: str, normalize: bool, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.how, self.normalize = how, normalize
        self.built = True

    def call(self, sequence: tf.Tensor) -> tf.Tensor:
        """Return vectors, shape (batch, hidden_size)."""
        return bert_math.pool(sequence, self.how, self.normalize)

    def compute_output_spec(self, sequence: Any) -> keras.KerasTensor:
        """Say what comes out."""
        return keras.KerasTensor((sequence.shape[0], sequence.shape[-1] - 1), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer."""
        return {**super().get_config(), "how": self.how, "normalize": self.normalize}
