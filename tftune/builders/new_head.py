"""Giving a model another head: a new model that shares the layers of the backbone."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras

from tftune.builders.heads import POOLED, attach_heads, pool_features
from tftune.builders.transfer_model import TransferModel
from tftune.config.text_input import TextInput
from tftune.errors import ConfigError


def head_settings(model: TransferModel) -> dict[str, Any]:
    """Read how a model's head was built, from its layers.

    Returns:
        "hidden", "dropout", "activation" and "pooling", as `build_image_classifier` takes them.
    """
    layers = {layer.name: layer for layer in model.keras_model.layers}
    hidden = [layer for name, layer in layers.items() if name.startswith("head_hidden_")]
    pooled = layers[model.spec.pooled_layer]
    kinds = {keras.layers.GlobalMaxPooling2D: "max", keras.layers.Concatenate: "concat"}
    return {
        "hidden": tuple(layer.units for layer in hidden),
        "dropout": float(layers["head_dropout"].rate),
        "activation": keras.activations.serialize(hidden[0].activation) if hidden else "relu",
        "pooling": kinds.get(type(pooled), "average"),
    }


def with_head(model: TransferModel, **settings: Any) -> TransferModel:
    """Build a model with a new, untrained head on the same backbone.

    Args:
        model: its backbone's layers are shared, not copied: what trains one, trains both.
        settings: of the head, as `head_settings` returns them; what is left out stays as it is.

    Raises:
        ConfigError: if a text encoder, which has a pooling of its own, is asked for another.
    """
    own = head_settings(model)
    chosen = {**own, **settings}
    pooling, layer = chosen.pop("pooling"), model.spec.pooled_layer
    if pooling == own["pooling"]:
        pooled = model.keras_model.get_layer(layer).output
    elif isinstance(model.contract, TextInput):
        raise ConfigError(
            "`pooling` cannot be chosen for a text encoder, which has its own. Leave it out. "
            f"Received: {pooling!r}."
        )
    else:
        pooled, layer = pool_features(model.backbone.output, pooling), POOLED
    outputs = attach_heads(pooled, model.heads, **chosen)
    network = keras.Model(model.keras_model.input, outputs, name=model.keras_model.name)
    return TransferModel(network, dataclasses.replace(model.spec, pooled_layer=layer))


def head_alone(model: TransferModel, num_features: int, **settings: Any) -> keras.Model:
    """Build a new, untrained head by itself.

    Args:
        model: says what is to be answered.
        num_features: how many pooled features the head takes.
        settings: "hidden", "dropout" and "activation".

    Returns:
        From features, shape (batch, num_features), to logits (of several heads, by head name); its
        layers are named as in a model.
    """
    features = keras.Input((num_features,), name="features")
    outputs = attach_heads(features, model.heads, **settings)
    whole = keras.Model(features, outputs)
    logits = {head.name: whole.get_layer(head.logits_layer).output for head in model.heads}
    if len(logits) == 1:
        (logits,) = logits.values()
    return keras.Model(features, logits, name="head")
