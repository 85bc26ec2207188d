"""Trunk: the part of a network that stays as it is while the part above trains."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tftune.builders.sequences import token_counts
from tftune.builders.stages import operation_flops
from tftune.config.image_input import ImageInput
from tftune.config.text_input import TextInput
from tftune.data.pipeline import input_batches
from tftune.data.resize import RESIZING


@dataclass(frozen=True)
class Trunk:
    """The part of a model below a boundary, which stays as it is while the part above trains.

    Attributes:
        keras_model: from raw pixels or strings to the boundary.
        boundary: name of the layer whose output the boundary is.
        contract: how an image or text becomes the input.
        forward: `keras_model` in inference mode as one compiled function.
        backbone: the name of the backbone's preset, for people; not part of the fingerprint.
        begins_at: name of the layer whose output `keras_model` takes, when it is only the part
            above a lower boundary; "" when it takes raw pixels or strings.
        whole: the network from raw pixels or strings, of such a part.
    """

    keras_model: keras.Model
    boundary: str
    contract: ImageInput | TextInput
    forward: Callable[[tf.Tensor], tf.Tensor]
    backbone: str = ""
    begins_at: str = ""
    whole: keras.Model | None = None
    _parts: dict[str, Trunk] = field(default_factory=dict, repr=False, compare=False)

    def above(self, lower: str) -> Trunk:
        """Return the part above a lower boundary, which gives the same rows from that one's.

        Args:
            lower: name of the layer at the lower boundary.
        """
        if lower not in self._parts:
            operations = self.keras_model.operations
            tensor = next(op for op in operations if op.name == lower).output
            part = keras.Model(tensor, self.keras_model.output, name="part")
            self._parts[lower] = replace(
                self,
                keras_model=part,
                forward=compiled(part),
                begins_at=lower,
                whole=self.keras_model,
            )
        return replace(self._parts[lower])  # its fingerprint is cached, and weights may have moved

    def lengths(self, examples: Any) -> np.ndarray | None:
        """Count what each example makes the trunk compute.

        Returns:
            int, shape (num_examples,): its tokens; None where all examples cost the same.
        """
        if not isinstance(self.contract, TextInput) or self.begins_at:
            return None
        return token_counts(self.keras_model, input_batches(examples, self.contract, 256))

    @property
    def flops(self) -> int:
        """Floating-point operations an example; 0 where a SavedModel does not tell them."""
        return sum(operation_flops(operation) for operation in self.keras_model.operations)

    @functools.cached_property
    def fingerprint(self) -> str:
        """A digest of all that decides the activations: graph, weights, contract and resizing.

        What of the network is set to train does not: a trunk runs in inference mode.
        """
        digest = hashlib.blake2b(digest_size=16)
        network = self.whole or self.keras_model
        config = network.get_config()
        config.pop("name", None)
        # Keras counts names such as "conv2d_94" up in every process: they are no content, the
        # position of an operation is.
        operations = network.operations
        positions = {operation.name: f"#{index}" for index, operation in enumerate(operations)}
        digest.update(json.dumps(_plain(config, positions), sort_keys=True).encode())
        digest.update(repr((positions[self.boundary], self.contract, RESIZING)).encode())
        for weight in network.get_weights():
            digest.update(np.ascontiguousarray(weight).data)
        return digest.hexdigest()


def compiled(network: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a network in inference mode as one function, traced once for any batch size."""
    # With a fixed one, the smaller last batch would be traced again.
    spec = tf.TensorSpec((None, *network.input_shape[1:]), network.inputs[0].dtype)
    return tf.function(lambda inputs: network(inputs, training=False), input_signature=[spec])


def _plain(value: Any, names: Mapping[str, str]) -> Any:
    """Reduce a Keras config to what JSON holds and decides the output.

    Operations stand under their new `names`; what is set to train is left out.
    """
    if isinstance(value, dict):
        return {str(k): _plain(item, names) for k, item in value.items() if k != "trainable"}
    if isinstance(value, (list, tuple)):
        return [_plain(item, names) for item in value]
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, (int, float, bool)) or value is None:
        return value
    return repr(value)
