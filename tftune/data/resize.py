"""The resize contract, as one function that every path through tftune calls."""

from __future__ import annotations

import tensorflow as tf

from tftune.config import ImageInput


def resize_images(images: tf.Tensor, image_input: ImageInput) -> tf.Tensor:
    """Resize pixels as the model's resize contract says.

    Args:
        images: any numeric type, shape (..., height, width, 3), values in [0, 255]; at most one
            leading dimension.
        image_input: the contract.

    Returns:
        float32, shape (..., *image_input.image_size, 3), values in [0, 255].
    """
    pixels = tf.cast(images, tf.float32)
    method = {"bilinear": _stretch, "mediapipe": _mediapipe, "pad": _pad, "crop": _crop}
    resized = method[image_input.resize](pixels, image_input)
    shape = (*pixels.shape[:-3], *image_input.image_size, 3)
    return tf.ensure_shape(tf.cast(resized, tf.float32), shape)


def _stretch(pixels: tf.Tensor, image_input: ImageInput) -> tf.Tensor:
    return tf.image.resize(pixels, image_input.image_size, method="bilinear", antialias=True)


def _mediapipe(pixels: tf.Tensor, image_input: ImageInput) -> tf.Tensor:
    """TensorFlow 1's bilinear: corners as origin, no antialiasing, as MediaPipe's CPU path does."""
    single = pixels.shape.rank == 3
    batch = pixels[tf.newaxis] if single else pixels
    resized = tf.raw_ops.ResizeBilinear(
        images=batch, size=image_input.image_size, align_corners=False, half_pixel_centers=False
    )
    return resized[0] if single else resized


def _pad(pixels: tf.Tensor, image_input: ImageInput) -> tf.Tensor:
    """Scale until the image fits inside, keep its aspect, centre it on the background."""
    height, width = image_input.image_size
    sides = tf.cast(tf.shape(pixels)[-3:-1], tf.float32)
    scale = tf.reduce_min(tf.constant([height, width], tf.float32) / sides)
    scaled = tf.clip_by_value(tf.cast(tf.round(sides * scale), tf.int32), 1, (height, width))
    resized = tf.image.resize(pixels, scaled, method="bilinear", antialias=True)
    before = (tf.constant([height, width]) - scaled) // 2
    after = tf.constant([height, width]) - scaled - before
    margins = tf.stack([before, after], axis=1)
    leading = tf.zeros((pixels.shape.rank - 3, 2), tf.int32)
    margins = tf.concat([leading, margins, tf.zeros((1, 2), tf.int32)], axis=0)
    inside = tf.pad(tf.ones_like(resized), margins)
    # Selecting keeps the image's own values exact, which shifting by the background would not.
    background = tf.constant(image_input.background, tf.float32)
    return tf.where(inside > 0, tf.pad(resized, margins), background)


def _crop(pixels: tf.Tensor, image_input: ImageInput) -> tf.Tensor:
    """Scale the largest centred region that has the target's aspect.

    The same as scaling the short side and cropping, without ever holding a scaled long side: that
    of a 1 x 10000 image would have millions of pixels.
    """
    height, width = image_input.image_size
    sides = tf.shape(pixels)[-3:-1]
    target = tf.constant([height, width], tf.float32)
    scale = tf.reduce_min(tf.cast(sides, tf.float32) / target)
    region = tf.clip_by_value(tf.cast(tf.round(target * scale), tf.int32), 1, sides)
    start = (sides - region) // 2
    top, left = start[0], start[1]
    cropped = pixels[..., top : top + region[0], left : left + region[1], :]
    return _stretch(cropped, image_input)
