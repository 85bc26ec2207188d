"""Converting a network to TensorFlow Lite's own forms."""

from __future__ import annotations

import hashlib
import itertools
import re
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tftune.config.text_input import TextInput
from tftune.data.dataset import Split
from tftune.data.pipeline import image_batches
from tftune.errors import ExportError
from tftune.exporters.half_weights import halve_weights
from tftune.exporters.layer_correction import MOST_IMAGES, correct_layers
from tftune.exporters.mixed_precision import quantize_selectively
from tftune.exporters.phone_model import PhoneModel

CALIBRATED = ("int8", "mixed")
"""The forms that need images."""
_CALIBRATION_IMAGES = 200


class Converter:
    """Converts one model; what several forms start from is computed once.

    Args:
        phone: the model as a phone gets it.
        images: real images that set the ranges of 8-bit activations.
    """

    def __init__(self, phone: PhoneModel, images: Split | None) -> None:
        self._phone = phone
        self._images = images
        self._float32: bytes | None = None
        self._layers_corrected: dict[str, int] = {}

    def convert(self, form: str) -> bytes:
        """Return the content of a .tflite file without metadata.

        Args:
            form: "none", "float16", "dynamic", "int8" or "mixed".

        Raises:
            ExportError: naming the operators and layers that cannot be converted.
        """
        if form == "none":
            return self.float32()
        if form == "float16":
            content, corrected = halve_weights(self.float32(), self._means_from())
        elif form == "mixed":
            mixed = quantize_selectively(self.float32(), self.calibration())
            content, corrected = correct_layers(mixed, self.float32(), self.calibration())
        elif form == "int8":
            integers = self._converted(form)
            content, corrected = correct_layers(integers, self.float32(), self.calibration())
        else:
            content, corrected = self._converted(form), 0
        self._layers_corrected[form] = corrected
        return content

    def _means_from(self) -> list[np.ndarray]:
        """Return the images that the mean of an activation is taken over, if there are any."""
        if not self._images or isinstance(self._phone.model.contract, TextInput):
            return []
        return list(itertools.islice(self.calibration(), MOST_IMAGES))

    def float32(self) -> bytes:
        """Return the float32 form, from which others are made."""
        if self._float32 is None:
            self._float32 = self._converted("none")
        return self._float32

    def calibration(self) -> Iterator[np.ndarray]:
        """Read the images that set the ranges, each of shape (1, height, width, 3)."""
        assert self._images is not None
        chosen = self._images.examples.take(_calibration_choice(self._images))
        for pixels in image_batches(chosen, self._phone.model.image_input, batch_size=1):
            yield pixels.numpy()

    def calibration_record(self, form: str) -> Mapping[str, Any] | None:
        """Say by which images a form that was converted got its ranges or its layers corrected.

        Returns:
            None if there were none.
        """
        corrected = self._layers_corrected.get(form, 0)
        if form not in CALIBRATED and not corrected:
            return None
        assert self._images is not None
        chosen = self._images.examples.take(_calibration_choice(self._images))
        if form == "float16":
            chosen = chosen.take(np.arange(min(MOST_IMAGES, len(chosen))))
        digest = hashlib.sha256("\n".join(chosen.fingerprints).encode()).hexdigest()
        return {
            "split": self._images.name,
            "num_examples": len(chosen),
            "sha256_of_fingerprints": digest,
            "layers_corrected": corrected,
        }

    def _converted(self, form: str) -> bytes:
        traced = self._phone.traced()
        with tempfile.TemporaryDirectory() as folder:
            archive = keras.export.ExportArchive()
            for holder in traced.tracked:
                archive.track(holder)
            archive.add_endpoint("serving_default", traced.function)
            archive.write_out(folder, verbose=False)
            converter = tf.lite.TFLiteConverter.from_saved_model(folder)
            if form != "none":
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
            if form == "int8":
                converter.representative_dataset = lambda: (
                    {"image": image} for image in self.calibration()
                )
                converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
                converter.inference_input_type = tf.uint8
                converter.inference_output_type = tf.uint8
            try:
                return converter.convert()
            except Exception as error:
                # The converter raises its own, undocumented exception types.
                raise ExportError(
                    _conversion_message(self._phone.model.keras_model, str(error))
                ) from error


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
