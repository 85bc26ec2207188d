"""From what callers have, a file, an array or a string, to what a network takes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tftune.config.image_input import ImageInput
from tftune.config.text_input import TextInput
from tftune.data.decode import read_image
from tftune.data.resize import resize_images
from tftune.errors import DataError, ShapeError


def image_as_input(image: str | os.PathLike[str] | np.ndarray, contract: ImageInput) -> np.ndarray:
    """Read and resize an image as a network wants it.

    Args:
        image: a path, or RGB pixels in [0, 255], shape (height, width, 3).
        contract: the resize contract.

    Returns:
        float32, shape (*contract.image_size, 3), RGB in [0, 255].

    Raises:
        DataError: if a file cannot be read as an image.
        ShapeError: if an array is not an RGB image.
    """
    is_path = isinstance(image, (str, os.PathLike))
    pixels = read_image(str(image), contract.background) if is_path else np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[-1] != 3:
        raise ShapeError(
            "An image must have shape (height, width, 3), RGB in [0, 255]. "
            f"Received shape: {pixels.shape}."
        )
    return resize_images(pixels, contract).numpy()


def texts_as_input(batch: Sequence[Any], contract: TextInput) -> tf.Tensor:
    """Encode texts as a network takes them.

    Args:
        batch: strings, or tuples of two for a model of pairs.
        contract: the text contract.

    Returns:
        Strings in UTF-8, shape (num_texts,), or (num_texts, 2) for pairs.

    Raises:
        DataError: if an entry is none of these.
    """
    count = contract.num_texts
    rows = [[entry] if isinstance(entry, str) else list(entry) for entry in batch]
    for row in rows:
        if len(row) != count or not all(isinstance(text, str) for text in row):
            wanted = "a string" if count == 1 else "a tuple of two strings"
            raise DataError(f"A text must be {wanted}. Received: {str(row)[:80]}.")
    encoded = [[text.encode("utf-8", "replace") for text in row] for row in rows]
    return tf.constant([row[0] for row in encoded] if count == 1 else encoded)
