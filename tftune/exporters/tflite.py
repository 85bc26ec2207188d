"""Exporting for phones: a .tflite file that takes one image of the model's own size."""

from __future__ import annotations

import importlib.metadata
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tftune.atomic import replaced_file, write_json
from tftune.builders.transfer_model import TransferModel
from tftune.data.dataset import Split
from tftune.data.pipeline import image_batches
from tftune.errors import ConfigError, ExportError, OutputExistsError, check_choice
from tftune.exporters.certificate import certify
from tftune.results.export import Certificate, Export

QUANTIZATIONS = ("none", "float16", "dynamic", "int8")
# Float32 differs only in the order of sums and float16 by rounded weights. With 8 bits a single
# borderline image may change its answer, so any difference is allowed and the accuracy is reported.
_TOLERANCES = {"none": 1e-4, "float16": 2e-2, "dynamic": 1.0, "int8": 1.0}
_CALIBRATION_IMAGES = 100


def export_tflite(
    model: TransferModel,
    path: str | os.PathLike[str],
    quantize: str = "none",
    verify: Split | None = None,
    calibration: Split | None = None,
    overwrite: bool = False,
) -> Export:
    """Write a .tflite file and compare it with the Keras model in LiteRT.

    Input: one image, shape (1, height, width, 3), RGB in [0, 255], already of the model's size;
    float32, or uint8 with "int8". Output: probabilities, shape (1, num_classes), of the same type.

    Args:
        model: what to export.
        path: a file name that ends in ".tflite".
        quantize: "none" keeps float32; "float16" and "dynamic" (8-bit weights) shrink the weights;
            "int8" makes weights and arithmetic 8-bit.
        verify: held-out examples to compare the export with the Keras model on.
        calibration: real images that set the ranges of "int8"; `verify` by default.
        overwrite: replace an existing file.

    Returns:
        What was written, with its certificate.

    Raises:
        ConfigError: if the name, `quantize` or the calibration data is missing or wrong.
        OutputExistsError: if the file exists and `overwrite` is False.
        ExportError: if the model cannot be converted or the file does not give its answers; nothing
            is left behind then.
    """
    check_choice("quantize", quantize, QUANTIZATIONS)
    target = Path(path)
    if target.suffix != ".tflite":
        raise ConfigError(f"`path` must end in '.tflite'. Received: {str(path)!r}.")
    if target.exists() and not overwrite:
        raise OutputExistsError(
            f"{str(path)!r} exists. Choose another name, or overwrite it (--overwrite)."
        )
    images = calibration if calibration is not None else verify
    if quantize == "int8" and images is None:
        raise ConfigError("`quantize='int8'` needs real images: give `calibration=data.train`.")
    content = _convert(model, quantize, images)
    certificate: Certificate | None = None
    with replaced_file(target) as temporary:
        temporary.write_bytes(content)
        if verify is not None:
            runtime = f"LiteRT {importlib.metadata.version('ai-edge-litert')}"
            runner = _runner(temporary, model)
            certificate = certify(model, verify, runner, runtime, _TOLERANCES[quantize])
    if certificate is not None:
        write_json(target.with_name(target.name + ".certificate.json"), certificate.to_json())
    kind = "uint8" if quantize == "int8" else "float32"
    height, width = model.image_input.image_size
    signature = f"image {kind} (1, {height}, {width}, 3) -> probabilities (1, {model.num_classes})"
    return Export(str(target), len(content), {"serving_default": signature}, certificate)


def _convert(model: TransferModel, quantize: str, images: Split | None) -> bytes:
    network = model.keras_model
    spec = tf.TensorSpec((1, *model.image_input.image_size, 3), tf.float32, name="image")

    @tf.function(input_signature=[spec])
    def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": network(image, training=False)}

    with tempfile.TemporaryDirectory() as folder:
        archive = keras.export.ExportArchive()
        archive.track(network)
        archive.add_endpoint("serving_default", serve)
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if quantize != "none":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if quantize == "int8":
            assert images is not None
            converter.representative_dataset = lambda: _calibration_images(model, images)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = tf.uint8
            converter.inference_output_type = tf.uint8
        try:
            return converter.convert()
        except Exception as error:
            # The converter raises its own, undocumented exception types.
            raise ExportError(f"TensorFlow Lite cannot convert this model: {error}") from error


def _calibration_images(model: TransferModel, split: Split) -> Iterator[dict[str, np.ndarray]]:
    chosen = np.random.default_rng(0).permutation(len(split))[:_CALIBRATION_IMAGES]
    for pixels in image_batches(split.examples.take(chosen), model.image_input, batch_size=1):
        yield {"image": pixels.numpy()}


def _runner(path: Path, model: TransferModel):
    def run(split: Split) -> np.ndarray:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=str(path), num_threads=os.cpu_count())
        interpreter.allocate_tensors()
        source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        rows = []
        for pixels in image_batches(split.examples, model.image_input, batch_size=1):
            image = pixels.numpy()
            if source["dtype"] == np.uint8:
                # The quantized input's scale is 1 and its zero point 0 when ranges span 0-255.
                scale, zero = source["quantization"]
                image = np.clip(np.round(image / scale + zero), 0, 255).astype(np.uint8)
            interpreter.set_tensor(source["index"], image)
            interpreter.invoke()
            row = interpreter.get_tensor(sink["index"])[0].astype(np.float64)
            if sink["dtype"] == np.uint8:
                scale, zero = sink["quantization"]
                row = (row - zero) * scale
            rows.append(row)
        return np.stack(rows)

    return run
