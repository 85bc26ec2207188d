"""The signatures of a served image model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tftune.builders.transfer_model import TransferModel
from tftune.config.model_spec import TAGS, HeadSpec
from tftune.data.decode import decode_image
from tftune.data.resize import resize_images
from tftune.exporters.head_answers import head_slugs, served_answers
from tftune.exporters.served_network import ServedNetwork

Function: TypeAlias = "tf.types.experimental.GenericFunction"

PREDICT = "tensorflow/serving/predict"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"
EXAMPLE_FEATURE = "image/encoded"
"""The feature of a tf.Example that holds the encoded image, as TensorFlow's data sets name it."""


@dataclass(frozen=True)
class Signature:
    """One way to call a served model.

    Attributes:
        function: a `tf.function` with an input signature; gives tensors by name.
        method: TF Serving's name of the API that may call it.
    """

    function: Function
    method: str = PREDICT

    def __str__(self) -> str:
        outputs = self.function.get_concrete_function().structured_outputs
        inputs = ", ".join(spec.name for spec in self.function.input_signature)
        return f"{inputs} -> {', '.join(sorted(outputs))}"


def image_signatures(model: TransferModel, network: ServedNetwork) -> dict[str, Signature]:
    """Build the functions a server calls; all run the network in inference mode.

    Args:
        model: says how images are prepared and what the heads mean.
        network: runs it.

    Returns:
        By signature name: `serving_default` (encoded images), `predict_pixels` and
        `predict_pixels_uint8` (decoded images), `embed` (the features the heads see), and those of
        `example_signatures`.
    """
    contract = model.image_input
    prepared = tf.TensorSpec((*contract.image_size, 3), tf.float32)

    # Functions of their own, so that the signatures share one graph of each.
    @tf.function(input_signature=[tf.TensorSpec((None, *prepared.shape), tf.float32)])
    def outputs(pixels: tf.Tensor) -> Any:
        return network.answers(pixels)

    def answers(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        return served_answers(model.heads, outputs(pixels))

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
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

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def embed(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"embedding": network.embedding(decoded(image_bytes))}

    return {
        "serving_default": Signature(serving_default),
        "predict_pixels": Signature(predict_pixels),
        "predict_pixels_uint8": Signature(predict_pixels_uint8),
        **example_signatures(
            model.heads, EXAMPLE_FEATURE, lambda encoded: outputs(decoded(encoded))
        ),
        "embed": Signature(embed),
    }


def example_signatures(
    heads: tuple[HeadSpec, ...],
    feature: str,
    answer: Callable[[tf.Tensor], Any],
    shape: tuple[int, ...] = (),
) -> dict[str, Signature]:
    """Build the functions behind TF Serving's Classify and Regress APIs, which take tf.Example.

    The Classify API takes no outputs but `classes` and `scores`, the Regress API none but
    `outputs`, one number an example; so each head, and each quantity of a regression, is a
    signature of its own.

    Args:
        heads: the model's heads.
        feature: the feature of the examples that the model reads.
        answer: from its strings, shape (batch, *shape), to the network's outputs.
        shape: of the strings of one example.

    Returns:
        `classify` or `regress`; with several heads `classify_<slug>` and `regress_<slug>`, with
        several quantities the quantity's own slug behind.
    """

    def parsed(inputs: tf.Tensor) -> tf.Tensor:
        wanted = {feature: tf.io.FixedLenFeature(shape, tf.string)}
        return tf.io.parse_example(inputs, wanted)[feature]

    def rows(head: HeadSpec, inputs: tf.Tensor) -> tf.Tensor:
        outputs = answer(parsed(inputs))
        return outputs[head.name] if isinstance(outputs, Mapping) else outputs

    examples = [tf.TensorSpec((None,), tf.string, name="inputs")]

    def classify(head: HeadSpec) -> Function:
        @tf.function(input_signature=examples)
        def classify(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            served = served_answers((head,), rows(head, inputs))
            return {"classes": served["classes"], "scores": served["scores"]}

        return classify

    def regress(head: HeadSpec, column: int) -> Function:
        @tf.function(input_signature=examples)
        def regress(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"outputs": rows(head, inputs)[:, column]}

        return regress

    slugs = head_slugs(heads)
    found: dict[str, Signature] = {}
    for head in heads:
        suffix = "" if len(heads) == 1 else f"_{slugs[head.name]}"
        if head.task == TAGS:
            continue  # neither API has a place for an answer a word
        if head.task != "regression":
            found[f"classify{suffix}"] = Signature(classify(head), CLASSIFY)
            continue
        quantities = head_slugs(
            [HeadSpec(name, "regression", (name,), "", "") for name in head.class_names]
        )
        for column, name in enumerate(head.class_names):
            which = "" if len(head.class_names) == 1 else f"_{quantities[name]}"
            found[f"regress{suffix}{which}"] = Signature(regress(head, column), REGRESS)
    return found


def mark_methods(folder: Path, signatures: Mapping[str, Signature]) -> None:
    """Name each signature's API in `saved_model.pb`, where TensorFlow writes predict for all.

    Args:
        folder: the version folder.
        signatures: what was written into it.
    """
    file = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    for graph in saved.meta_graphs:
        for name, signature in signatures.items():
            graph.signature_def[name].method_name = signature.method
    file.write_bytes(saved.SerializeToString())
