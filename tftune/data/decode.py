"""From an encoded image to RGB pixels, the same way in training, serving and prediction."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from tftune.errors import DataError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".gif", ".bmp"})


def decode_image(encoded: tf.Tensor) -> tf.Tensor:
    """Decode JPEG, PNG, GIF (first frame) or BMP bytes inside a TensorFlow graph.

    Args:
        encoded: string scalar, the file's bytes.

    Returns:
        uint8, shape (height, width, 3), RGB in [0, 255].
    """
    pixels = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    return tf.ensure_shape(pixels, (None, None, 3))


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read one image file.

    Args:
        path: an image file.

    Returns:
        uint8, shape (height, width, 3), RGB in [0, 255].

    Raises:
        DataError: if the file is missing or is not an image that can be decoded.
    """
    try:
        encoded = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"Image {str(path)!r} cannot be read: {error.strerror}.") from error
    try:
        return decode_image(tf.constant(encoded)).numpy()
    except tf.errors.InvalidArgumentError as error:
        raise DataError(
            f"Image {str(path)!r} cannot be decoded: it is damaged, empty or not an image. "
            "Replace or remove it."
        ) from error
