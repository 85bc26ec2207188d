"""The signatures of a served text model: raw strings in."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tftune.builders.transfer_model import TransferModel
from tftune.config.image_input import ImageInput
from tftune.config.text_input import TextInput
from tftune.errors import ConfigError
from tftune.exporters.head_answers import served_answers
from tftune.exporters.served_network import ServedNetwork
from tftune.exporters.signatures import Signature, example_signatures

EXAMPLE_FEATURE = "text"
"""The feature of a tf.Example that holds the text."""


def check_text_export(contract: TextInput, bundle: bool) -> None:
    """Raise ConfigError if a text model cannot be exported like this."""
    if bundle and contract.num_texts > 1:
        raise ConfigError(
            "`bundle` writes clients for models of one text an example. This one reads pairs: "
            "leave `bundle` out."
        )


def text_shape(contract: ImageInput | TextInput) -> tuple[int, ...]:
    """Return the shape of an example's strings: () for one text, (2,) for a pair."""
    count = contract.num_texts if isinstance(contract, TextInput) else 1
    return () if count == 1 else (count,)


def text_signatures(model: TransferModel, network: ServedNetwork) -> dict[str, Signature]:
    """Build the functions a server calls; all run the network in inference mode.

    Args:
        model: says what the heads mean.
        network: runs it, tokenizer included.

    Returns:
        By signature name: `serving_default` (strings, shape (batch,), for pairs (batch, 2)),
        `embed` (the features the heads see), and those of `example_signatures`.
    """
    shape = text_shape(model.contract)
    strings = [tf.TensorSpec((None, *shape), tf.string, name="text")]

    # A function of its own, so that the signatures share its graph.
    @tf.function(input_signature=strings)
    def outputs(text: tf.Tensor) -> Any:
        return network.answers(text)

    @tf.function(input_signature=strings)
    def serving_default(text: tf.Tensor) -> dict[str, tf.Tensor]:
        return served_answers(model.heads, outputs(text))

    @tf.function(input_signature=strings)
    def embed(text: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"embedding": network.embedding(text)}

    return {
        "serving_default": Signature(serving_default),
        **example_signatures(model.heads, EXAMPLE_FEATURE, outputs, shape),
        "embed": Signature(embed),
    }
