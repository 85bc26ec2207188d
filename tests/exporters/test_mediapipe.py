"""The real MediaPipe ImageClassifier loads what is exported and gives the model's answers."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tftune
from tftune.config.image_input import ImageInput
from tftune.data.resize import resize_images
from tftune.exporters.tflite_metadata import OutputNotes, attach, describe_image_model

SIDE = 24

mediapipe = pytest.importorskip("mediapipe", reason="MediaPipe is not installed here")


def _classifier(path, **settings):
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.ImageClassifierOptions(
        base_options=BaseOptions(model_asset_path=str(path)), **settings
    )
    return vision.ImageClassifier.create_from_options(options)


def _scores(classifier, pixels):
    image = mediapipe.Image(
        image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(pixels)
    )
    found = classifier.classify(image).classifications[0].categories
    return {category.category_name: category.score for category in found}


@pytest.fixture(scope="module")
def pixel_reader(tmp_path_factory):
    """A model whose scores are its input pixels, so that MediaPipe shows what it feeds."""
    count = SIDE * SIDE * 3
    holder = tf.Module()
    holder.call = tf.function(
        lambda image: tf.reshape(image, [1, count]),
        input_signature=[tf.TensorSpec((1, SIDE, SIDE, 3), tf.float32)],
    )
    function = holder.call.get_concrete_function()
    content = tf.lite.TFLiteConverter.from_concrete_functions([function], holder).convert()
    names = [str(index) for index in range(count)]
    about = describe_image_model(
        "pixels", "", [OutputNotes("pixel", "", "labels.txt")], normalised=True
    )
    path = tmp_path_factory.mktemp("pixels") / "pixels.tflite"
    path.write_bytes(attach(content, about, {"labels.txt": "\n".join(names)}))
    with _classifier(path, max_results=-1, score_threshold=-1.0) as classifier:
        yield classifier


@pytest.mark.parametrize("shape", [(24, 24), (10, 10), (37, 61), (11, 50), (96, 7), (200, 333)])
def test_the_mediapipe_contract_gives_the_pixels_mediapipe_feeds(pixel_reader, shape):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    scores = _scores(pixel_reader, pixels)
    fed = np.array([scores[str(index)] for index in range(SIDE * SIDE * 3)])
    ours = resize_images(pixels, ImageInput((SIDE, SIDE), "mediapipe")).numpy().ravel()
    # A position halfway between two steps may be rounded the other way; none was seen to be.
    assert np.mean(fed != ours) <= 0.01
    assert np.abs(fed - ours).max() <= 8


@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_mediapipe_gives_the_labels_and_scores_of_the_model(
    pretrained_model, stripes, tmp_path, quantize
):
    phone = tftune.TransferModel(
        pretrained_model.keras_model,
        dataclasses.replace(
            pretrained_model.spec, contract=ImageInput((64, 64), resize="mediapipe")
        ),
    )
    export = tftune.export_tflite(
        phone, tmp_path / "m.tflite", quantize=quantize, calibration=stripes.train
    )
    paths = stripes.validation.examples.paths + stripes.test.examples.paths
    with _classifier(export.path, max_results=3) as classifier:
        for path in paths:
            scores = _scores(classifier, np.asarray(Image.open(path).convert("RGB")))
            # float32: the same pixels and another order of sums. int8: coarser arithmetic.
            tolerance = 1e-4 if quantize == "none" else 0.2
            assert scores == pytest.approx(phone.predict(path), abs=tolerance)
