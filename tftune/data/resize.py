"""The resize contract, as one function that every path through tftune calls."""

from __future__ import annotations

import tensorflow as tf

from tftune.config.image_input import ImageInput

RESIZING = 1
"""Another number whenever the same image would come out as other pixels: caches tell them apart."""

_STEPS = 32.0  # positions between two pixels that OpenCV tells apart


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
    """What MediaPipe's CPU path does, to the pixel.

    It warps with OpenCV: output (i, j) is sampled at (i * height ratio, j * width ratio), without
    half-pixel centres or antialiasing, at positions rounded to 1/32 of a pixel (OpenCV's
    INTER_BITS is 5), and the result is rounded to whole values.
    """
    height, width = image_input.image_size
    rows = _blend(pixels, axis=-3, size=height)
    return tf.floor(_blend(rows, axis=-2, size=width) + 0.5)


def _blend(pixels: tf.Tensor, axis: int, size: int) -> tf.Tensor:
    """Sample one axis at MediaPipe's positions; exact in float32 for 8-bit values."""
    length = tf.shape(pixels)[axis]
    ratio = tf.cast(length, tf.float64) / size
    position = tf.round(tf.range(size, dtype=tf.float64) * ratio * _STEPS)
    lower = tf.cast(position // _STEPS, tf.int32)
    weight = tf.cast(position % _STEPS / _STEPS, tf.float32)
    weight = tf.reshape(weight, [size] + [1] * (-1 - axis))
    lower = tf.minimum(lower, length - 1)
    upper = tf.minimum(lower + 1, length - 1)
    below, above = tf.gather(pixels, lower, axis=axis), tf.gather(pixels, upper, axis=axis)
    return below * (1 - weight) + above * weight


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
