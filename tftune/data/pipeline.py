"""Batches of resized images, read lazily with `tf.data`."""

from __future__ import annotations

import tensorflow as tf

from tftune.config.image_input import ImageInput
from tftune.data.examples import Examples
from tftune.data.resize import resize_images


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
    pixels_of = examples.reader(image_input.background)

    def read(index: tf.Tensor) -> tf.Tensor:
        return resize_images(pixels_of(index), image_input)

    indices = tf.data.Dataset.range(len(examples))
    images = indices.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return images.batch(batch_size).prefetch(2)
