"""The arithmetic of BERT in plain TensorFlow operations, for Keras layers and SavedModels alike.

A sequence travels as one tensor, shape (batch, length, hidden_size + 1): its last channel is the
attention mask, 0 for padding and 1 for tokens (2 says more of them, see `word_layers`). So one
tensor is alive between any two layers, where the network can be cut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

POOLINGS = ("mean", "max", "cls", "pooler")
ACTIVATIONS: Mapping[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "gelu": lambda x: tf.nn.gelu(x, approximate=False),
    "gelu_new": lambda x: tf.nn.gelu(x, approximate=True),
    "gelu_pytorch_tanh": lambda x: tf.nn.gelu(x, approximate=True),
    "relu": tf.nn.relu,
}

# Far enough below any logit for a weight of exactly 0, and still a number in float16.
_NOT_ATTENDED = -1e4

Dropout = Callable[[tf.Tensor], tf.Tensor]
Weights = Mapping[str, Any]


@dataclass(frozen=True)
class BertShape:
    """The sizes and settings of a BERT encoder.

    Attributes:
        vocabulary_size: rows of the word embeddings.
        hidden_size: channels of a token.
        num_layers: transformer layers.
        num_heads: attention heads; they divide `hidden_size`.
        intermediate_size: units between the two dense layers of a transformer layer.
        max_length: positions that were trained, in tokens.
        num_segments: rows of the segment embeddings; 0 for a model without any.
        epsilon: added to variances in layer normalization.
        activation: one of `ACTIVATIONS`.
        dropout: share of activations dropped in training.
        attention_dropout: share of attention weights dropped in training.
    """

    vocabulary_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    intermediate_size: int
    max_length: int
    num_segments: int = 2
    epsilon: float = 1e-12
    activation: str = "gelu"
    dropout: float = 0.1
    attention_dropout: float = 0.1

    @property
    def embedding_weights(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the embeddings' weights by name."""
        width = self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "word_embeddings": (self.vocabulary_size, width),
            "position_embeddings": (self.max_length, width),
        }
        if self.num_segments:
            shapes["segment_embeddings"] = (self.num_segments, width)
        return {**shapes, "norm_gamma": (width,), "norm_beta": (width,)}

    @property
    def layer_weights(self) -> dict[str, tuple[int, ...]]:
        """Shapes of a transformer layer's weights by name."""
        width, inner = self.hidden_size, self.intermediate_size
        shapes: dict[str, tuple[int, ...]] = {}
        for name in ("query", "key", "value", "attention_output"):
            shapes[f"{name}_kernel"], shapes[f"{name}_bias"] = (width, width), (width,)
        shapes["attention_norm_gamma"], shapes["attention_norm_beta"] = (width,), (width,)
        shapes["intermediate_kernel"], shapes["intermediate_bias"] = (width, inner), (inner,)
        shapes["output_kernel"], shapes["output_bias"] = (inner, width), (width,)
        return {**shapes, "output_norm_gamma": (width,), "output_norm_beta": (width,)}

    @property
    def pooler_weights(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the weights of BERT's own pooler by name."""
        width = self.hidden_size
        return {"kernel": (width, width), "bias": (width,)}

    def weights_by_stage(self, pooler: bool) -> dict[str, dict[str, tuple[int, ...]]]:
        """Shapes of all weights, by stage from the input upwards."""
        stages = {"embeddings": self.embedding_weights}
        stages |= {f"layer_{number}": self.layer_weights for number in range(self.num_layers)}
        return stages | ({"pooler": self.pooler_weights} if pooler else {})


def embed(
    shape: BertShape,
    weights: Weights,
    token_ids: tf.Tensor,
    mask: tf.Tensor,
    segments: tf.Tensor | None,
    drop: Dropout,
) -> tf.Tensor:
    """Embed tokens.

    Args:
        shape: the encoder's sizes.
        weights: as `BertShape.embedding_weights` names them.
        token_ids: int, shape (batch, length).
        mask: 1 for tokens and 0 for padding, shape (batch, length).
        segments: int, shape (batch, length): which text of a pair a token belongs to; None for
            the first everywhere.
        drop: dropout, or what gives its input.

    Returns:
        Shape (batch, length, hidden_size + 1).
    """
    words = weights["word_embeddings"]
    length = tf.shape(token_ids)[1]
    x = tf.gather(words, token_ids) + weights["position_embeddings"][:length][tf.newaxis]
    if shape.num_segments:
        chosen = tf.zeros_like(token_ids) if segments is None else segments
        x += tf.gather(weights["segment_embeddings"], chosen)
    x = drop(_normalize(x, weights["norm_gamma"], weights["norm_beta"], shape.epsilon))
    return _with_mask(x, tf.cast(mask, x.dtype)[..., tf.newaxis])


def transform(
    shape: BertShape,
    weights: Weights,
    sequence: tf.Tensor,
    drop: Dropout,
    drop_attention: Dropout,
) -> tf.Tensor:
    """Run one transformer layer.

    Args:
        shape: the encoder's sizes.
        weights: as `BertShape.layer_weights` names them.
        sequence: shape (batch, length, hidden_size + 1).
        drop: dropout, or what gives its input.
        drop_attention: the same, for attention weights.

    Returns:
        Shape (batch, length, hidden_size + 1).

    References:
        Vaswani et al. 2017, https://arxiv.org/abs/1706.03762; Devlin et al. 2018,
        https://arxiv.org/abs/1810.04805.
    """
    x, mask = split_mask(sequence)
    length, width = tf.shape(x)[1], shape.hidden_size
    head = width // shape.num_heads

    def dense(inputs: tf.Tensor, name: str) -> tf.Tensor:
        kernel = weights[f"{name}_kernel"]
        # One product of two matrices: of a batch of them TensorFlow makes a gradient of the kernel
        # for each text, and then sums these.
        flat = tf.matmul(tf.reshape(inputs, (-1, kernel.shape[0])), kernel)
        flat = tf.nn.bias_add(flat, weights[f"{name}_bias"])
        return tf.reshape(flat, (-1, length, kernel.shape[1]))

    def heads(name: str) -> tf.Tensor:
        parts = tf.reshape(dense(x, name), (-1, length, shape.num_heads, head))
        return tf.transpose(parts, (0, 2, 1, 3))

    logits = tf.matmul(heads("query"), heads("key"), transpose_b=True) * head**-0.5
    attended_to = tf.minimum(mask, 1)[:, tf.newaxis, tf.newaxis, :, 0]
    logits += (1 - attended_to) * _NOT_ATTENDED
    attended = tf.matmul(drop_attention(tf.nn.softmax(logits)), heads("value"))
    joined = tf.reshape(tf.transpose(attended, (0, 2, 1, 3)), (-1, length, width))
    x = _normalize(
        x + drop(dense(joined, "attention_output")),
        weights["attention_norm_gamma"],
        weights["attention_norm_beta"],
        shape.epsilon,
    )
    inner = ACTIVATIONS[shape.activation](dense(x, "intermediate"))
    x = _normalize(
        x + drop(dense(inner, "output")),
        weights["output_norm_gamma"],
        weights["output_norm_beta"],
        shape.epsilon,
    )
    return _with_mask(x, mask)


def pool(sequence: tf.Tensor, how: str, normalize: bool) -> tf.Tensor:
    """Reduce a sequence to one vector.

    Args:
        sequence: shape (batch, length, hidden_size + 1).
        how: "mean" or "max" over the tokens, or "cls", the first token.
        normalize: scale the vector to length 1.

    Returns:
        Shape (batch, hidden_size).
    """
    x, mask = split_mask(sequence)
    if how == "mean":
        pooled = tf.reduce_sum(x * mask, 1) / tf.maximum(tf.reduce_sum(mask, 1), 1)
    elif how == "max":
        pooled = tf.reduce_max(tf.where(mask > 0, x, x.dtype.min), 1)
    else:
        pooled = x[:, 0]
    return tf.nn.l2_normalize(pooled, -1) if normalize else pooled


def pool_by_pooler(weights: Weights, sequence: tf.Tensor) -> tf.Tensor:
    """Run BERT's own pooler: a dense layer on the first token; shape (batch, hidden_size)."""
    return tf.tanh(tf.matmul(sequence[:, 0, :-1], weights["kernel"]) + weights["bias"])


def split_mask(sequence: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Part a sequence into channels, shape (..., hidden_size), and mask, shape (..., 1)."""
    return sequence[..., :-1], sequence[..., -1:]


def _with_mask(x: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    return tf.concat([x, mask], axis=-1)


def _normalize(x: tf.Tensor, gamma: Any, beta: Any, epsilon: float) -> tf.Tensor:
    # In float16 the square of a deviation overflows and the epsilon vanishes.
    wide = tf.cast(x, tf.float32)
    mean, variance = tf.nn.moments(wide, axes=-1, keepdims=True)
    scaled = tf.cast((wide - mean) * tf.math.rsqrt(variance + epsilon), x.dtype)
    return scaled * gamma + beta
