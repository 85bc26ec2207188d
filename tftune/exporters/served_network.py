"""The network behind a SavedModel's signatures: as it is, with narrow weights, or frozen.

A tokenizer holds a table of words, which is neither a weight nor a constant: it stays as it is in
front of what is narrowed or frozen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tftune.builders.bert_tokens import BertTokens
from tftune.builders.hub_layer import HubLayer
from tftune.builders.transfer_model import TransferModel
from tftune.errors import ExportError, check_choice
from tftune.exporters.half_weights import MIN_ELEMENTS

WEIGHTS_DTYPES = ("float32", "bfloat16", "float16")
_LARGEST_GRAPH = 2**31 - 2**20  # protocol buffers end at 2 GB; the graph itself needs some


@dataclass(frozen=True)
class ServedNetwork:
    """A network in inference mode.

    Attributes:
        answers: from prepared inputs to the heads' outputs, as `keras_model` gives them.
        embedding: from prepared inputs to the features the heads see.
        tracked: what holds the variables, for the export to keep.
    """

    answers: Callable[[tf.Tensor], Any]
    embedding: Callable[[tf.Tensor], tf.Tensor]
    tracked: Any


def served_network(
    model: TransferModel, weights_dtype: str = "float32", frozen: bool = False
) -> ServedNetwork:
    """Prepare a model's network for serving.

    Args:
        model: whose network it is.
        weights_dtype: how weights are stored, "float32", "bfloat16" or "float16". Arithmetic stays
            in float32: weights are widened when they are used. Small ones stay in float32.
        frozen: keep the weights as constants in the graph instead of variables beside it.

    Returns:
        The network.

    Raises:
        ConfigError: if `weights_dtype` is none of these.
        ExportError: if the backbone is a SavedModel, whose weights are not Keras', or constants
            would not fit into a graph.
    """
    check_choice("weights_dtype", weights_dtype, WEIGHTS_DTYPES)
    network = model.keras_model
    pooled = network.get_layer(model.spec.pooled_layer).output
    if weights_dtype == "float32" and not frozen:
        embedding = keras.Model(network.input, pooled, name="embedding")
        return ServedNetwork(
            lambda inputs: network(inputs, training=False),
            lambda inputs: embedding(inputs, training=False),
            network,
        )
    if any(isinstance(layer, HubLayer) for layer in network.layers):
        raise ExportError(
            "The weights of a TF-Hub backbone are part of its own SavedModel and can neither be "
            'narrowed nor frozen. Export with `weights_dtype="float32"` and `frozen=False`.'
        )
    tokens = next((layer for layer in network.layers if isinstance(layer, BertTokens)), None)
    source = network.input if tokens is None else tokens.output
    both = keras.Model(source, (pooled, network.output), name="served")
    holder = tf.Module()
    run: Callable[[tf.Tensor], Any] = lambda inputs: both(inputs, training=False)  # noqa: E731
    if weights_dtype != "float32":
        run, holder = _narrow(both, weights_dtype)
    if frozen:
        size = sum(int(np.prod(v.shape)) for v in both.variables)
        size *= tf.as_dtype(weights_dtype).size
        if size > _LARGEST_GRAPH:
            raise ExportError(
                f"The weights take {size / 1e9:.1f} GB, and a frozen graph holds at most 2 GB. "
                "Export with `frozen=False`."
            )
        run = _frozen(run, source)
    holder.tokens = tokens
    prepared: Callable[[tf.Tensor], tf.Tensor] = tokens or (lambda inputs: inputs)
    return ServedNetwork(
        lambda inputs: run(prepared(inputs))[1], lambda inputs: run(prepared(inputs))[0], holder
    )


def _narrow(network: keras.Model, dtype: str) -> tuple[Callable[[tf.Tensor], Any], tf.Module]:
    """Keep large weights in fewer bits; why small ones stay is told in `half_weights`."""

    def stored(variable: keras.Variable) -> tf.Variable:
        value = tf.convert_to_tensor(variable.value)
        large = value.dtype == tf.float32 and int(np.prod(value.shape)) >= MIN_ELEMENTS
        return tf.Variable(tf.cast(value, dtype) if large else value)

    holder = tf.Module()
    holder.trained = [stored(v) for v in network.trainable_variables]
    holder.kept = [stored(v) for v in network.non_trainable_variables]
    kinds = [
        [v.dtype for v in group]
        for group in (network.trainable_variables, network.non_trainable_variables)
    ]

    def run(inputs: tf.Tensor) -> Any:
        trained, kept = (
            [tf.cast(v, kind) for v, kind in zip(group, dtypes, strict=True)]
            for group, dtypes in zip((holder.trained, holder.kept), kinds, strict=True)
        )
        return network.stateless_call(trained, kept, inputs, training=False)[0]

    return run, holder


def _frozen(run: Callable[[tf.Tensor], Any], source: keras.KerasTensor) -> Callable[..., Any]:
    """Turn variables into constants of one graph that all signatures share."""
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    spec = tf.TensorSpec(source.shape, source.dtype, name="inputs")
    traced = tf.function(run, input_signature=[spec]).get_concrete_function()
    constant = convert_variables_to_constants_v2(traced)

    def call(inputs: tf.Tensor) -> Any:
        flat = constant(inputs)
        return tf.nest.pack_sequence_as(traced.structured_outputs, flat)

    return call
