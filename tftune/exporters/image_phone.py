"""A model of images as a phone gets it: one image of the model's own size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from tftune.builders.transfer_model import TransferModel
from tftune.data.dataset import Split
from tftune.exporters.certificate import Answers
from tftune.exporters.litert import run_images
from tftune.exporters.phone_model import (
    Traced,
    described_as,
    named_outputs,
    output_notes,
    packed_files,
)
from tftune.exporters.tflite_contents import inspect_tflite
from tftune.exporters.tflite_metadata import attach, describe_image_model

# Float32 differs from Keras only in the order of sums. Float16 rounds large weights to 11 bits,
# which moved a probability by 0.004 at most on 500 images; the more certain a model is, the more.
# With 8 bits a borderline image may change its answer, so only the accuracy is bounded.
_TOLERANCES = {"none": 1e-4, "float16": 2e-2}


class ImagePhone:
    """See `PhoneModel`.

    Args:
        model: the model.
    """

    forms: tuple[str, ...] = ("none", "float16", "dynamic", "int8", "mixed")

    def __init__(self, model: TransferModel) -> None:
        self.model = model

    def traced(self) -> Traced:
        """Return the network to convert."""
        network, heads = self.model.keras_model, self.model.heads
        spec = tf.TensorSpec((1, *self.model.image_input.image_size, 3), tf.float32, name="image")

        @tf.function(input_signature=[spec])
        def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
            return named_outputs(heads, network(image, training=False))

        return Traced(serve, (network,))

    def described(self, content: bytes, name: str, form: str) -> bytes:
        """Put metadata, labels and the model's own description into a converted file."""
        about = describe_image_model(
            name=name,
            description=described_as(self.model),
            outputs=output_notes(self.model, inspect_tflite(content)),
            normalised=form != "int8",
        )
        return attach(content, about, packed_files(self.model))

    def run(self, file: Path, split: Split) -> Answers:
        """Run a file over a split's original images in LiteRT, twice."""
        return run_images(file, split, self.model.image_input, self.model.heads)

    def same_inputs(self, split: Split) -> np.ndarray | None:
        """Return None: all images are resized as in training."""
        return None

    def tolerance(self, form: str) -> float | None:
        """Return the largest difference of a probability."""
        return _TOLERANCES.get(form)

    def notes(self, split: Split) -> list[str]:
        """Say nothing."""
        return []

    def inputs(self, form: str) -> str:
        """Write the input as a signature shows it."""
        height, width = self.model.image_input.image_size
        return f"image {'uint8' if form == 'int8' else 'float32'} (1, {height}, {width}, 3)"
