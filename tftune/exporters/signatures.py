"""The signatures of a served image classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import keras
import tensorflow as tf

from tftune.builders.transfer_model import TransferModel
from tftune.data.decode import decode_image
from tftune.data.resize import resize_images
from tftune.errors import ExportError

Endpoint: TypeAlias = "tf.types.experimental.GenericFunction"

CLASSIFY = "classify"
EXAMPLE_FEATURE = "image/encoded"
"""The feature of a tf.Example that holds the encoded image, as TensorFlow's data sets name it."""


def require_one_multiclass_head(model: TransferModel) -> None:
    """Raise ExportError unless the model chooses one class out of several."""
    if len(model.spec.heads) != 1 or model.task != "multiclass":
        raise ExportError(
            "Only a model with one multiclass head can be exported. This one has "
            f"{len(model.spec.heads)} head(s), the first of them {model.task}."
        )


def image_signatures(model: TransferModel) -> Mapping[str, Endpoint]:
    """Build the functions a server calls; all run the network in inference mode.

    Args:
        model: a classifier with one head.

    Returns:
        By signature name: `serving_default` (encoded images), `predict_pixels` and
        `predict_pixels_uint8` (decoded images), `classify` (TF Serving's Classify API) and `embed`
        (the features the head sees).

    Raises:
        ExportError: if the model answers anything but one class out of several.
    """
    require_one_multiclass_head(model)
    network = model.keras_model
    contract = model.image_input
    names = tf.constant(list(model.class_names))
    prepared = tf.TensorSpec((*contract.image_size, 3), tf.float32)
    pooled = network.get_layer(model.spec.pooled_layer).output
    embedding = keras.Model(network.input, pooled, name="embedding")

    def answers(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = network(pixels, training=False)
        count = tf.shape(probabilities)[0]
        return {
            "probabilities": probabilities,
            "scores": tf.identity(probabilities),
            "classes": tf.tile(names[tf.newaxis], [count, 1]),
            "label": tf.gather(names, tf.argmax(probabilities, axis=-1)),
        }

    def decoded(image_bytes: tf.Tensor) -> tf.Tensor:
        def one(encoded: tf.Tensor) -> tf.Tensor:
            pixels = decode_image(encoded, contract.background)
            return tf.ensure_shape(resize_images(pixels, contract), prepared.shape)

        return tf.map_fn(one, image_bytes, fn_output_signature=prepared)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def serving_default(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return answers(decoded(image_bytes))

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32, name="pixels")])
    def predict_pixels(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        return answers(resize_images(pixels, contract))

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="pixels")])
    def predict_pixels_uint8(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        return answers(resize_images(pixels, contract))

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="inputs")])
    def classify(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        feature = {EXAMPLE_FEATURE: tf.io.FixedLenFeature([], tf.string)}
        found = answers(decoded(tf.io.parse_example(inputs, feature)[EXAMPLE_FEATURE]))
        # The Classify API refuses any output but these two.
        return {"classes": found["classes"], "scores": found["scores"]}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def embed(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"embedding": embedding(decoded(image_bytes), training=False)}

    return {
        "serving_default": serving_default,
        "predict_pixels": predict_pixels,
        "predict_pixels_uint8": predict_pixels_uint8,
        CLASSIFY: classify,
        "embed": embed,
    }


def describe(endpoints: Mapping[str, Endpoint]) -> dict[str, str]:
    """Return each signature's inputs and outputs as readable text."""
    described = {}
    for name, endpoint in endpoints.items():
        outputs = endpoint.get_concrete_function().structured_outputs
        inputs = ", ".join(spec.name for spec in endpoint.input_signature)
        described[name] = f"{inputs} -> {', '.join(sorted(outputs))}"
    return described
