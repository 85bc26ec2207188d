"""Exporting for phones: a .tflite file that takes one image of the model's own size."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tftune.atomic import replaced_file, write_json
from tftune.builders.transfer_model import TransferModel
from tftune.data.dataset import Split
from tftune.data.pipeline import image_batches
from tftune.errors import ConfigError, ExportError, OutputExistsError, check_choice
from tftune.exporters.certificate import Budget, certify
from tftune.exporters.litert import run_images
from tftune.exporters.signatures import require_one_multiclass_head
from tftune.exporters.tflite_contents import inspect_tflite, prove_integer
from tftune.exporters.tflite_metadata import LABELS_FILE, attach, describe_image_classifier
from tftune.results.export import Certificate, Export

FORMS = ("none", "float16", "dynamic", "int8")
QUANTIZATIONS = (*FORMS, "auto")
# Float32 differs from Keras only in the order of sums, float16 by weights rounded to 11 bits, which
# moved a probability by 0.022 at most on 500 digits. With 8 bits a borderline image may change its
# answer, so only the accuracy is bounded.
_TOLERANCES = {"none": 1e-4, "float16": 5e-2, "dynamic": None, "int8": None}
_CALIBRATION_IMAGES = 200


@dataclass(frozen=True)
class _Written:
    """One form of the model, as it was put on disk."""

    size_bytes: int
    certificate: Certificate | None


def export_tflite(
    model: TransferModel,
    path: str | os.PathLike[str],
    quantize: str = "none",
    verify: Split | None = None,
    calibration: Split | None = None,
    max_drop: float = 0.02,
    allow_drop: bool = False,
    overwrite: bool = False,
) -> Export:
    """Write a .tflite file with metadata and labels inside, and compare it with Keras in LiteRT.

    Input: one image, shape (1, height, width, 3), RGB in [0, 255], already of the model's size;
    float32, or uint8 with "int8". Output: probabilities, shape (1, num_classes), of the same type.
    MediaPipe's ImageClassifier loads the file as it is.

    Args:
        model: what to export.
        path: a file name that ends in ".tflite".
        quantize: "none" keeps float32; "float16" and "dynamic" (8-bit weights) shrink the weights;
            "int8" makes weights and arithmetic 8-bit, which is checked on the file; "auto" takes
            the smallest form that stays within `max_drop`, and needs `verify`.
        verify: held-out examples to compare the export with the Keras model on.
        calibration: real training images that set the ranges of "int8"; `verify` by default.
        max_drop: the largest loss of accuracy on `verify`, in [0, 1].
        allow_drop: write an export past its budget all the same; its certificate says so.
        overwrite: replace an existing file.

    Returns:
        What was written, with its certificate.

    Raises:
        ConfigError: if the name, `quantize` or the data it needs is missing or wrong.
        OutputExistsError: if the file exists and `overwrite` is False.
        ExportError: if the model cannot be converted, an "int8" file is not all integer, or the
            file does not give the model's answers; nothing is left behind then.
    """
    check_choice("quantize", quantize, QUANTIZATIONS)
    require_one_multiclass_head(model)
    target = Path(path)
    images = calibration if calibration is not None else verify
    _check_request(target, quantize, verify, images, overwrite)
    if quantize == "auto":
        return _smallest(model, target, verify, images, max_drop)
    written = _write(model, target, quantize, verify, images, max_drop, allow_drop)
    return _export(model, target, quantize, written)


def _check_request(
    target: Path, quantize: str, verify: Split | None, images: Split | None, overwrite: bool
) -> None:
    if target.suffix != ".tflite":
        raise ConfigError(f"`path` must end in '.tflite'. Received: {str(target)!r}.")
    if target.exists() and not overwrite:
        raise OutputExistsError(
            f"{str(target)!r} exists. Choose another name, or overwrite it (--overwrite)."
        )
    if quantize == "auto" and verify is None:
        raise ConfigError("`quantize='auto'` needs held-out images: give `verify=data.validation`.")
    if quantize == "int8" and images is None:
        raise ConfigError("`quantize='int8'` needs real images: give `calibration=data.train`.")


def _smallest(
    model: TransferModel, target: Path, verify: Split | None, images: Split | None, max_drop: float
) -> Export:
    """Try every form beside the target and keep the smallest that is good enough."""
    candidates: list[dict[str, Any]] = []
    fitting: list[tuple[int, str]] = []
    with tempfile.TemporaryDirectory(dir=_made(target.parent), prefix=f".{target.stem}-") as folder:
        for form in FORMS:
            row: dict[str, Any] = {"quantize": form, "size_bytes": 0, "accuracy": None}
            row |= {"drop": None, "outcome": "kept out: "}
            candidates.append(row)
            try:
                file = Path(folder) / f"{form}.tflite"
                written = _write(model, file, form, verify, images, max_drop, allow_drop=True)
            except ExportError as error:
                row["outcome"] += str(error)
                continue
            assert written.certificate is not None
            row["size_bytes"] = written.size_bytes
            row["accuracy"] = written.certificate.accuracy_after.value
            row["drop"] = -written.certificate.accuracy_drop
            if written.certificate.passed:
                row["outcome"] = "within budget"
                fitting.append((written.size_bytes, form))
            else:
                row["outcome"] += "; ".join(written.certificate.problems)
        if not fitting:
            raise ExportError(
                f"No form stays within a drop of {max_drop}: "
                + "; ".join(f"{row['quantize']}: {row['outcome']}" for row in candidates)
            )
        chosen = min(fitting)[1]
        next(row for row in candidates if row["quantize"] == chosen)["outcome"] = "chosen"
        with replaced_file(target) as temporary:
            temporary.write_bytes((Path(folder) / f"{chosen}.tflite").read_bytes())
    # Checked again at its final place, so that the certificate is of the file that is there.
    written = _certified(model, target, chosen, verify, images, Budget(None, max_drop, True))
    _write_certificate(target, written.certificate)
    return _export(model, target, chosen, written, candidates)


def _write(
    model: TransferModel,
    target: Path,
    quantize: str,
    verify: Split | None,
    images: Split | None,
    max_drop: float,
    allow_drop: bool,
) -> _Written:
    content = _convert(model, quantize, images)
    if quantize == "int8":
        prove_integer(inspect_tflite(content))
    about = describe_image_classifier(
        name=target.stem,
        description=f"{model.preset} for {model.num_classes} classes, made by tftune.",
        class_names=model.class_names,
        normalised=quantize != "int8",
    )
    content = attach(content, about, {LABELS_FILE: "\n".join(model.class_names)})
    budget = Budget(_TOLERANCES[quantize], max_drop, allow_drop)
    with replaced_file(target) as temporary:
        temporary.write_bytes(content)
        written = _certified(model, temporary, quantize, verify, images, budget)
    _write_certificate(target, written.certificate)
    return written


def _certified(
    model: TransferModel,
    file: Path,
    quantize: str,
    verify: Split | None,
    images: Split | None,
    budget: Budget,
) -> _Written:
    size = file.stat().st_size
    if verify is None:
        return _Written(size, None)
    used = _calibration_record(images) if quantize == "int8" and images is not None else None

    def run(split: Split):
        return run_images(file, split, model.image_input)

    return _Written(size, certify(model, verify, run, file, budget, used))


def _write_certificate(target: Path, certificate: Certificate | None) -> None:
    place = target.with_name(target.name + ".certificate.json")
    if certificate is not None:
        write_json(place, certificate.to_json())
    else:
        place.unlink(missing_ok=True)  # one that is left from an earlier file would be a lie


def _export(
    model: TransferModel,
    target: Path,
    quantize: str,
    written: _Written,
    candidates: list[dict[str, Any]] | None = None,
) -> Export:
    kind = "uint8" if quantize == "int8" else "float32"
    height, width = model.image_input.image_size
    signature = f"image {kind} (1, {height}, {width}, 3) -> probabilities (1, {model.num_classes})"
    return Export(
        path=str(target),
        size_bytes=written.size_bytes,
        signatures={"serving_default": signature},
        certificate=written.certificate,
        quantize=quantize,
        candidates=tuple(candidates or ()),
    )


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
            raise ExportError(_conversion_message(network, str(error))) from error


def _conversion_message(network: keras.Model, text: str) -> str:
    """Name the operators and the layers that the converter's pages of output complain of."""
    operators = sorted(set(re.findall(r"'tf\.(\w+)' op is neither", text)))
    if not operators:
        return f"TensorFlow Lite cannot convert this model: {text.splitlines()[0][:300]}"
    known = {layer.name for layer in network.layers}
    layers = set()
    for location in re.findall(r'"([^"@]+)@__inference', text):
        # Traced a second time, a layer's scope is its name with a number behind.
        parts = {re.sub(r"_\d+$", "", part) for part in location.split("/")}
        layers |= known & (parts | set(location.split("/")))
    where = f" of layer {', '.join(sorted(layers))}" if layers else ""
    return (
        f"TensorFlow Lite has no operator for {', '.join(operators)}{where}. "
        "Replace that layer by one of built-in operations, or serve the model with "
        "`export_saved_model`."
    )


def _calibration_choice(split: Split) -> np.ndarray:
    return np.random.default_rng(0).permutation(len(split))[:_CALIBRATION_IMAGES]


def _calibration_images(model: TransferModel, split: Split) -> Iterator[dict[str, np.ndarray]]:
    chosen = split.examples.take(_calibration_choice(split))
    for pixels in image_batches(chosen, model.image_input, batch_size=1):
        yield {"image": pixels.numpy()}


def _calibration_record(split: Split) -> Mapping[str, Any]:
    chosen = split.examples.take(_calibration_choice(split))
    digest = hashlib.sha256("\n".join(chosen.fingerprints).encode()).hexdigest()
    return {"split": split.name, "num_examples": len(chosen), "sha256_of_fingerprints": digest}


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
