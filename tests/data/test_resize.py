"""The resize contract: each method is what it says, for one image and for a batch."""

import numpy as np
import pytest
import tensorflow as tf

from tftune.config.image_input import RESIZE_METHODS, ImageInput
from tftune.data.resize import resize_images
from tftune.errors import ConfigError


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (40, 90, 3), dtype=np.uint8)


def test_bilinear_stretches_with_antialiasing(image):
    expected = tf.image.resize(image, (20, 30), antialias=True)
    np.testing.assert_array_equal(resize_images(image, ImageInput((20, 30))), expected)


def test_mediapipe_is_the_bilinear_of_tensorflow_1_with_coarse_positions(image):
    received = resize_images(image, ImageInput((50, 70), "mediapipe")).numpy()
    np.testing.assert_array_equal(received, np.round(received))
    exact = tf.compat.v1.image.resize(image[np.newaxis], (50, 70))[0]
    # Half a step of 1/32 along both axes, at most 255 a pixel, and half a value of rounding.
    np.testing.assert_allclose(received, exact, atol=2 * 255 / 64 + 0.5)


def test_mediapipe_samples_whole_pixels_as_they_are(image):
    received = resize_images(image, ImageInput((20, 30), "mediapipe"))
    # By its definition: output (i, j) is sampled at (i * 2, j * 3), whole pixels here.
    np.testing.assert_array_equal(received, image[::2, ::3])


def test_pad_keeps_the_aspect_and_fills_with_the_background(image):
    received = resize_images(image, ImageInput((30, 30), "pad", (1, 2, 3))).numpy()
    inner = tf.image.resize(image, (13, 30), antialias=True)
    np.testing.assert_array_equal(received[8:21], inner)
    outside = np.concatenate([received[:8], received[21:]])
    assert (outside == [1, 2, 3]).all()


def test_crop_keeps_the_aspect_and_cuts_the_centre_out(image):
    received = resize_images(image, ImageInput((20, 20), "crop"))
    expected = tf.image.resize(image[:, 25:65], (20, 20), antialias=True)
    np.testing.assert_array_equal(received, expected)


@pytest.mark.parametrize("method", RESIZE_METHODS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (7, 5), (31, 33)])
def test_any_shape_becomes_the_models_size_within_the_range_of_pixels(method, shape):
    contract = ImageInput((24, 32), method)
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    resized = resize_images(pixels, contract)
    assert resized.shape == (24, 32, 3)
    assert resized.dtype == tf.float32
    # Float32 weights that should add up to one do so within a few units in the last place.
    assert resized.numpy().min() >= 0
    assert resized.numpy().max() <= 255 * (1 + 1e-6)
    batch = resize_images(np.stack([pixels, pixels]), contract)
    np.testing.assert_array_equal(batch[1], resized)


def test_the_contract_works_on_sizes_unknown_until_run_time():
    for method in RESIZE_METHODS:
        contract = ImageInput((8, 6), method)
        for spec in ((None, None, 3), (None, None, None, 3)):
            traced = tf.function(lambda x, c=contract: resize_images(x, c)).get_concrete_function(
                tf.TensorSpec(spec, tf.uint8)
            )
            assert traced.output_shapes[-3:] == (8, 6, 3)


@pytest.mark.parametrize("colour", [(1, 2), (0, 0, 256), (0.5, 0, 0), (-1, 0, 0)])
def test_a_background_that_is_no_colour_is_refused(colour):
    with pytest.raises(ConfigError, match="background"):
        ImageInput((8, 8), background=colour)
