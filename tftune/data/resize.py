"""The resize contract, as one function that every path through tftune calls."""

from __future__ import annotations

import tensorflow as tf

from tftune.config import ImageInput


def resize_images(images: tf.Tensor, image_input: ImageInput) -> tf.Tensor:
    """Resize pixels as the model's resize contract says.

    Args:
        images: any numeric type, shape (..., height, width, 3), values in [0, 255].
        image_input: the contract.

    Returns:
        float32, shape (..., *image_input.image_size, 3), values in [0, 255].
    """
    pixels = tf.cast(images, tf.float32)
    resized = tf.image.resize(pixels, image_input.image_size, method="bilinear", antialias=True)
    return tf.cast(resized, tf.float32)
