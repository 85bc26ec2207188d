"""Batches of a model's inputs, read lazily with `tf.data`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tftune.config.image_input import ImageInput
from tftune.config.text_input import TextInput
from tftune.data.examples import Examples
from tftune.data.resize import resize_images
from tftune.errors import DataError


def input_reader(
    examples: Any, contract: ImageInput | TextInput
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a function for `tf.data` that reads an example as a model's contract asks.

    Args:
        examples: images or texts.
        contract: the model's input contract.

    Returns:
        From an int64 scalar to float32 pixels, shape (height, width, 3), RGB in [0, 255]; or to a
        string, shape (), or (2,) for pairs of texts.

    Raises:
        DataError: if the model reads images and the examples are texts, or the other way round.
    """
    holds_texts = hasattr(examples, "text_reader")
    if holds_texts != isinstance(contract, TextInput):
        wanted, found = ("images", "texts") if holds_texts else ("texts", "images")
        raise DataError(f"The model reads {wanted}, but the data holds {found}.")
    if isinstance(contract, TextInput):
        return examples.text_reader(contract.num_texts)
    pixels_of = examples.reader(contract.background)
    return lambda index: resize_images(pixels_of(index), contract)


def input_batches(
    examples: Any, contract: ImageInput | TextInput, batch_size: int = 32
) -> tf.data.Dataset:
    """Read examples in order, as a model's contract asks.

    Args:
        examples: images or texts; reorder them with `take` first to shuffle.
        contract: the model's input contract.
        batch_size: examples a batch; the last batch may be smaller.

    Returns:
        Dataset of batches. Memory is a few batches, however many examples there are.
    """
    read = input_reader(examples, contract)
    indices = tf.data.Dataset.range(len(examples))
    inputs = indices.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return inputs.batch(batch_size).prefetch(2)


def image_batches(
    examples: Examples, image_input: ImageInput, batch_size: int = 32
) -> tf.data.Dataset:
    """Read, decode and resize images in order.

    Args:
        examples: the images; reorder them with `take` first to shuffle.
        image_input: the resize contract.
        batch_size: images a batch; the last batch may be smaller.

    Returns:
        Dataset of float32 batches, shape (batch, height, width, 3), RGB in [0, 255]. Memory is
        a few batches, however many images there are.
    """
    return input_batches(examples, image_input, batch_size)
