"""A TF-Hub text encoder as a Keras layer from strings to vectors."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tftune.builders.bert_to_hub import INPUTS
from tftune.builders.hub_layer import HubLayer, bundled_path, load_saved_model, resolve_handle
from tftune.errors import ConfigError

_VECTORS = ("default", "pooled_output")
_OTHER = "other"


@keras.saving.register_keras_serializable(package="tftune")
class HubEncoder(HubLayer):
    """Calls a text encoder whose variables it shares.

    Two kinds are told apart by the SavedModel's own signature: one that takes strings, such as NNLM
    and the Universal Sentence Encoder, and BERT's kind, which takes what a preprocessor makes of
    strings. Dropout is on in training only, while the layer trains; regularisation losses count
    while it trains.

    Args:
        handle: the encoder: a folder, or a handle that tensorflow-hub resolves.
        preprocessor: the same for BERT's preprocessor; "" for an encoder of strings.
        digest: what the encoder's graph must hash to; computed when empty.

    Raises:
        WeightsError: if there is no such SavedModel or it cannot be fetched.
        ConfigError: if it is of neither kind.
    """

    def __init__(
        self, handle: str, preprocessor: str = "", digest: str = "", **arguments: Any
    ) -> None:
        super().__init__(handle, digest, **arguments)
        self.preprocessor = preprocessor
        self._prepare: Any = None
        if preprocessor:
            path = bundled_path(preprocessor) or resolve_handle(preprocessor, "preprocessor")
            self._preprocessor_path = path
            self._prepare = load_saved_model(path)
        self._check_kind()
        self._trainable_ids -= self._idle_ids()
        self._mark()

    @property
    def variable_stages(self) -> dict[str, tuple[str, ...]]:
        """What can train by itself, from the input upwards: names of variables by stage.

        Stages are told by what variables are called, as TF-Hub's BERT encoders call them:
        embeddings, layers by number, pooler. Empty where names tell nothing of the kind.
        """
        found: dict[str, list[str]] = {}
        fixed = {id(variable) for variable in self.fixed_weights}
        for variable in self._adopted:
            if id(variable) not in fixed:
                found.setdefault(_stage_of(variable.name), []).append(variable.name)
        numbers = sorted(int(name.removeprefix("layer_")) for name in found if "layer_" in name)
        if not numbers or _OTHER in found:
            return {}
        order = ("embeddings", *(f"layer_{number}" for number in numbers), "pooler")
        return {name: tuple(found[name]) for name in order if name in found}

    def call(self, texts: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Return vectors, shape (batch, channels).

        Args:
            texts: strings, shape (batch,).
            training: whether dropout is on, if the layer trains.
        """
        outputs = self._run(texts, bool(training) and self.trainable)
        if self.trainable:
            for loss in getattr(self._loaded, "regularization_losses", None) or ():
                self.add_loss(loss())
        return _vectors(outputs)

    def compute_output_spec(self, texts: Any, training: Any = None) -> keras.KerasTensor:
        """Trace the encoder for the shape of its output."""
        return keras.KerasTensor((None, self._channels), "float32")

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer, given the SavedModels."""
        return {**super().get_config(), "preprocessor": self.preprocessor}

    def save_assets(self, path: str) -> None:
        """Put both SavedModels into the file."""
        super().save_assets(path)
        if self.preprocessor:
            inner = Path(path, "preprocessor")
            shutil.copytree(self._preprocessor_path, inner / "saved_model", dirs_exist_ok=True)
            (inner / "handle.txt").write_text(self.preprocessor, encoding="utf-8")

    def _run(self, texts: tf.Tensor, training: bool) -> Any:
        inputs = texts if self._prepare is None else self._prepare(texts)
        if self._takes_training:
            return self._loaded(inputs, training=training)
        return self._loaded(inputs)

    def _idle_ids(self) -> set[int]:
        """Find variables that the vectors do not depend on, such as a pooler nobody asks.

        The bias of attention's keys adds the same to all logits of a query, which softmax ignores.
        """
        variables = list(self._loaded.trainable_variables)
        with tf.GradientTape() as tape:
            vectors = _vectors(self._run(tf.constant(["a few words, and one more."]), False))
            mixed = tf.reduce_sum(vectors * tf.range(1.0, self._channels + 1))
        try:
            gradients = tape.gradient(mixed, variables)
        except LookupError:  # an operation without a gradient; only frozen is it of use
            return set()
        return {
            id(variable)
            for variable, gradient in zip(variables, gradients, strict=True)
            if gradient is None
            or not np.any(getattr(gradient, "values", gradient))
            or re.search(r"(?:^|[./_])key[./_]bias(?::0)?$", variable.name)
        }

    def _check_kind(self) -> None:
        """Say in a sentence what is wrong with an encoder that does not fit."""
        spec = tf.TensorSpec((None,), tf.string)
        try:
            traced = tf.function(lambda texts: self._run(texts, False)).get_concrete_function(spec)
        except Exception as error:  # a SavedModel's functions raise several kinds
            raise ConfigError(self._misfit(None)) from error
        found = traced.structured_outputs
        output = _vectors(found)
        is_tensor = isinstance(output, (tf.TensorSpec, tf.Tensor))
        if not is_tensor or len(output.shape) != 2 or output.dtype != tf.float32:
            raise ConfigError(self._misfit(found))
        self._channels = int(output.shape[-1])

    def _misfit(self, output: Any) -> str:
        signature = (
            self._loaded.signatures.get("serving_default")
            if hasattr(self._loaded, "signatures")
            else None
        )
        takes = "something else"
        if signature is not None:
            specs = signature.structured_input_signature[1]
            takes = ", ".join(f"{s.name} ({s.dtype.name})" for s in specs.values()) or "nothing"
            if set(INPUTS) <= set(specs) and not self.preprocessor:
                return (
                    f"{self.handle!r} is an encoder of the BERT kind: it takes {takes}. Give the "
                    "`preprocessor` that belongs to it too."
                )
        given = "" if output is None else f" and gives {str(output)[:200]}"
        return (
            f"`encoder` must turn strings, shape (batch,), into vectors, shape (batch, channels), "
            f"alone or behind a `preprocessor`. {self.handle!r} takes {takes}{given}."
        )


def _stage_of(variable: str) -> str:
    number = re.search(r"(?:^|[./_])layer[_.]?(\d+)(?:[./_]|$)", variable)
    if number:
        return f"layer_{int(number.group(1))}"
    kinds = (("pooler", "pooler"), ("embedding", "embeddings"))
    return next((stage for part, stage in kinds if part in variable.lower()), _OTHER)


def _vectors(outputs: Any) -> Any:
    """Pick the text's vectors from what an encoder gives; None if they are not among it."""
    if isinstance(outputs, Mapping):
        return next((outputs[key] for key in _VECTORS if key in outputs), None)
    return outputs
