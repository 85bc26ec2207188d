"""The real MediaPipe ImageClassifier loads what is exported and gives the model's answers."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tftune

mediapipe = pytest.importorskip("mediapipe", reason="MediaPipe is not installed here")


def _legacy_bilinear(pixels, size):
    """What MediaPipe does on CPU: no half-pixel centres, no antialiasing."""
    return tf.compat.v1.image.resize(pixels[None].astype(np.float32), size)[0].numpy()


@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_mediapipe_gives_the_labels_and_scores_of_the_model(
    pretrained_model, stripes, tmp_path, quantize
):
    from mediapipe.tasks.python import BaseOptions, vision

    export = tftune.export_tflite(
        pretrained_model, tmp_path / "m.tflite", quantize=quantize, calibration=stripes.train
    )
    options = vision.ImageClassifierOptions(
        base_options=BaseOptions(model_asset_path=export.path), max_results=3
    )
    paths = stripes.validation.examples.paths + stripes.test.examples.paths
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for path in paths:
            pixels = np.ascontiguousarray(np.asarray(Image.open(path).convert("RGB")))
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
            found = classifier.classify(image).classifications[0].categories
            scores = {category.category_name: category.score for category in found}
            expected = pretrained_model.predict(_legacy_bilinear(pixels, (64, 64)))
            assert set(scores) == set(expected)
            # MediaPipe rounds resized pixels to 8 bits; int8 arithmetic is coarser still.
            tolerance = 0.02 if quantize == "none" else 0.2
            for name, probability in expected.items():
                assert scores[name] == pytest.approx(probability, abs=tolerance)
