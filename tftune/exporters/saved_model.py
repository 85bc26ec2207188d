"""Exporting for TF Serving: a numbered SavedModel that takes encoded images or pixels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tftune.atomic import replaced_folder, write_json
from tftune.builders.transfer_model import TransferModel
from tftune.data.dataset import Split
from tftune.data.decode import decode_image
from tftune.data.resize import resize_images
from tftune.errors import ExportError
from tftune.exporters.certificate import certify
from tftune.results.export import Certificate, Export

# The graph is the same; what may differ is the order of float32 sums inside a convolution.
_TOLERANCE = 1e-4


def export_saved_model(
    model: TransferModel, path: str | os.PathLike[str], verify: Split | None = None
) -> Export:
    """Write the next version of a SavedModel that TF Serving can load.

    Signatures: `serving_default` takes `image_bytes`, a batch of encoded images (JPEG, PNG, GIF,
    BMP) of any sizes; `predict_pixels` takes `pixels`, float32 (batch, height, width, 3), RGB in
    [0, 255], of any size. Both resize as the model does and return `probabilities` and `scores`
    (batch, num_classes), `classes` (batch, num_classes) and `label` (batch,).

    Args:
        model: what to export.
        path: the model's folder; the version is the next integer inside it.
        verify: held-out examples to compare the export with the Keras model on.

    Returns:
        What was written, with its certificate.

    Raises:
        ExportError: if `path` is a file, or the export does not give the model's answers; nothing
            is left behind then.
    """
    base = Path(path)
    if base.is_file():
        raise ExportError(f"`path` must be a folder. Received a file: {str(path)!r}.")
    endpoints = _endpoints(model)
    target = base / str(next_version(base))
    certificate: Certificate | None = None
    with replaced_folder(target) as folder:
        archive = keras.export.ExportArchive()
        archive.track(model.keras_model)
        for name, endpoint in endpoints.items():
            archive.add_endpoint(name, endpoint)
        archive.write_out(folder, verbose=False)
        if verify is not None:
            runtime = f"TensorFlow {tf.__version__}"
            certificate = certify(
                model, verify, _runner(folder, model.image_input.background), runtime, _TOLERANCE
            )
    if certificate is not None:
        write_json(base / f"{target.name}.certificate.json", certificate.to_json())
    size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    return Export(str(target), size, _describe(endpoints), certificate)


def next_version(base: Path) -> int:
    """Return one more than the highest version folder, 1 if there is none."""
    if not base.is_dir():
        return 1
    return 1 + max((int(p.name) for p in base.iterdir() if p.name.isdigit()), default=0)


def _endpoints(model: TransferModel) -> Mapping[str, tf.types.experimental.GenericFunction]:
    network = model.keras_model
    contract = model.image_input
    names = tf.constant(list(model.class_names))
    prepared = tf.TensorSpec((*contract.image_size, 3), tf.float32)

    def answers(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = network(pixels, training=False)
        count = tf.shape(probabilities)[0]
        return {
            "probabilities": probabilities,
            "scores": tf.identity(probabilities),
            "classes": tf.tile(names[tf.newaxis], [count, 1]),
            "label": tf.gather(names, tf.argmax(probabilities, axis=-1)),
        }

    def prepare(encoded: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(
            resize_images(decode_image(encoded, contract.background), contract), prepared.shape
        )

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def serving_default(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return answers(tf.map_fn(prepare, image_bytes, fn_output_signature=prepared))

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32, name="pixels")])
    def predict_pixels(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        return answers(resize_images(pixels, contract))

    return {"serving_default": serving_default, "predict_pixels": predict_pixels}


def _runner(folder: Path, background: tuple[int, int, int]):
    def run(split: Split, batch_size: int = 32) -> np.ndarray:
        loaded = tf.saved_model.load(str(folder))
        signature = loaded.signatures["serving_default"]
        rows = []
        for start in range(0, len(split), batch_size):
            stop = min(start + batch_size, len(split))
            encoded = [split.examples.encoded(i, background) for i in range(start, stop)]
            rows.append(signature(image_bytes=tf.constant(encoded))["probabilities"].numpy())
        return np.concatenate(rows)

    return run


def _describe(endpoints: Mapping[str, tf.types.experimental.GenericFunction]) -> dict[str, str]:
    described = {}
    for name, endpoint in endpoints.items():
        traced = endpoint.get_concrete_function()
        inputs = ", ".join(spec.name for spec in endpoint.input_signature)
        described[name] = f"{inputs} -> {', '.join(sorted(traced.structured_outputs))}"
    return described
