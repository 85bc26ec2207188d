"""Batches to train from: rows of cached activations, or images read and resized in every epoch.

Both are `tf.data` chains over all epochs of a phase, to be used with `steps_per_epoch`. Keras' own
`PyDataset` is not used: its workers prefetch across the end of an epoch and its `on_epoch_end` is
called before the first one, so the order of examples would not be a function of the seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tftune.cache.activations import Activations
from tftune.config.image_input import ImageInput
from tftune.config.text_input import TextInput
from tftune.data.dataset import Split
from tftune.data.imbalance import oversampled_order
from tftune.data.pipeline import input_reader
from tftune.data.targets import Target
from tftune.errors import ConfigError
from tftune.training.views import Views

_WINDOW = 50
"""Batches, at most, among which examples of like length are sought."""

_IN_MEMORY = 64 * 2**20
"""Bytes of rows up to which they are read once; beyond, every batch is read from the disk."""


def epoch_order(
    num_examples: int, seed: int, epoch: int, repeated: Target | None = None
) -> np.ndarray:
    """Return the order of examples in an epoch: a pure function of seed and epoch.

    Args:
        num_examples: how many there are.
        seed: with the epoch, decides the order.
        epoch: from 0.
        repeated: a target whose rare classes are to be seen as often as its largest.

    Returns:
        A permutation of range(num_examples); where classes are repeated, each index at least once.
    """
    if repeated is not None:
        return oversampled_order(repeated, seed, epoch)
    return np.random.default_rng([seed, epoch]).permutation(num_examples)


def grouped_by_length(
    order: np.ndarray, lengths: np.ndarray, batch_size: int, generator: np.random.Generator
) -> np.ndarray:
    """Bring examples of like length into one batch, since a batch costs as much as its longest.

    Within windows of a random order examples are sorted by length; then whole batches are shuffled.
    A window is a quarter of the epoch, at most fifty batches, so that an example meets others in
    the next epoch. A smaller last batch stays the last one and holds any lengths.

    Args:
        order: indices of examples, at random.
        lengths: of all examples.
        batch_size: examples a batch.
        generator: shuffles the batches.

    Returns:
        The same indices in another order.
    """
    whole = len(order) - len(order) % batch_size
    if not whole:
        return order
    window = batch_size * max(1, min(_WINDOW, whole // batch_size // 4))
    windows = np.split(order[:whole], range(window, whole, window))
    ordered = [part[np.argsort(lengths[part], kind="stable")] for part in windows]
    batches = np.concatenate(ordered).reshape(-1, batch_size)
    return np.concatenate([generator.permutation(batches).ravel(), order[whole:]])


def cached_epochs(
    views: Sequence[np.ndarray | Activations],
    labels: Any,
    batch_size: int,
    epochs: int | None,
    seed: int | None,
    start: tuple[int, int] = (0, 0),
    drop_remainder: bool = False,
    repeated: Target | None = None,
    trim: Callable[[np.ndarray], np.ndarray] | None = None,
    lengths: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Gather rows of cached activations epoch after epoch; memory is a few batches.

    Args:
        views: the activations of each view of the examples, shape (num_examples, ...), any float
            type; epochs see them in turn.
        labels: shape (num_examples, ...), or a dictionary of such arrays for several heads.
        batch_size: examples a batch; the last one of an epoch may be smaller.
        epochs: how many epochs to chain; None never ends, as Keras wants it with
            `steps_per_epoch` (it warns of the end of the data even after the last step).
        seed: with the epoch, decides the order; None keeps the examples' own order.
        start: the epoch and the batch in it to begin with, both from 0.
        drop_remainder: leave out a smaller last batch, as several devices need it.
        repeated: a target whose rare classes are seen as often as its largest, with a seed.
        trim: shortens the rows of a batch, such as texts that are padded.
        lengths: of the examples; with a seed, those of like length share a batch.

    Returns:
        Dataset of (float32 activations, labels).
    """
    labels = tf.nest.map_structure(tf.constant, labels)
    fits = trim is None and len(views) * math.prod(views[0].shape) * 4 <= _IN_MEMORY
    rows = _rows_in_memory(views) if fits else _rows_of_disk(views, trim)

    def one_epoch(indices: tf.data.Dataset, epoch: tf.Tensor) -> tf.data.Dataset:
        batches = indices.batch(batch_size, drop_remainder)
        return batches.map(lambda chosen: (rows(chosen, epoch), _rows(labels, chosen)))

    return _chain(len(views[0]), batch_size, seed, epochs, one_epoch, start, repeated, lengths)


def online_epochs(
    split: Split,
    contract: ImageInput | TextInput,
    batch_size: int,
    epochs: int | None,
    seed: int | None,
    start: tuple[int, int] = (0, 0),
    drop_remainder: bool = False,
    views: Views | None = None,
    repeated: Target | None = None,
    lengths: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Read labelled images or texts epoch after epoch, in the same orders as `cached_epochs`.

    Args:
        split: the examples.
        contract: how an image or text becomes the model's input.
        batch_size: examples a batch; the last one of an epoch may be smaller.
        epochs: how many epochs to chain; None never ends, as Keras wants it with
            `steps_per_epoch` (it warns of the end of the data even after the last step).
        seed: with the epoch, decides the order; None keeps the examples' own order.
        start: the epoch and the batch in it to begin with, both from 0.
        drop_remainder: leave out a smaller last batch, as several devices need it.
        views: says how images are changed at random; None leaves them.
        repeated: a target whose rare classes are seen as often as its largest, with a seed.
        lengths: of the examples; with a seed, those of like length share a batch.

    Returns:
        Dataset of (float32 images in [0, 255] or strings, labels). Where images are blended,
        class numbers become shares of the classes, float32, shape (batch, num_classes).
    """
    input_of = input_reader(split.examples, contract)
    labels = tf.nest.map_structure(tf.constant, labels_of(split))
    draw = views.draw(split.examples) if views else None
    blend = views.blend(split.num_classes) if views else None
    if blend is not None and len(split.targets) > 1:
        raise ConfigError(
            "`augment` blends images (MixUp or CutMix), which takes a model with one "
            f"head. Received: {len(split.targets)} heads. Leave the blending out."
        )
    per_epoch = math.ceil(examples_an_epoch(len(split), repeated) / batch_size)

    def one_epoch(indices: tf.data.Dataset, epoch: tf.Tensor) -> tf.data.Dataset:
        def read(index: tf.Tensor) -> tuple[tf.Tensor, Any]:
            image = input_of(index)
            image = draw(image, index, epoch) if draw else image
            return image, _rows(labels, index)

        examples = indices.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        batches = examples.batch(batch_size, drop_remainder)
        if blend is None:
            return batches
        first = epoch * per_epoch
        if start[1]:
            first += tf.where(epoch == start[0], tf.constant(start[1], tf.int64), 0)
        return batches.enumerate(first).map(lambda step, batch: blend(batch[0], batch[1], step))

    return _chain(len(split), batch_size, seed, epochs, one_epoch, start, repeated, lengths)


def examples_an_epoch(num_examples: int, repeated: Target | None = None) -> int:
    """Count what an epoch shows, repetitions included; see `epoch_order`."""
    return num_examples if repeated is None else len(oversampled_order(repeated))


def labels_of(split: Split) -> Any:
    """Return a split's labels as the networks that train on it answer.

    Returns:
        One target's labels; for several targets a dictionary of them by name.
    """
    if len(split.targets) == 1:
        return split.labels
    return {target.name: target.labels for target in split.targets}


def _rows_in_memory(
    views: Sequence[np.ndarray | Activations],
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    count = len(views[0])
    everything = [np.asarray(view[np.arange(count)], dtype=np.float32) for view in views]
    rows = tf.constant(np.concatenate(everything))
    return lambda chosen, epoch: tf.gather(rows, epoch % len(views) * count + chosen)


def _rows_of_disk(
    views: Sequence[np.ndarray | Activations], trim: Callable[[np.ndarray], np.ndarray] | None
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    shape = (None, *views[0].shape[1:]) if trim is None else (None, None, *views[0].shape[2:])

    def read(chosen: np.ndarray, epoch: np.ndarray) -> np.ndarray:
        gathered = np.asarray(views[int(epoch) % len(views)][chosen], dtype=np.float32)
        return gathered if trim is None else trim(gathered)

    def rows(chosen: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(tf.numpy_function(read, [chosen, epoch], tf.float32), shape)

    return rows


def _rows(labels: Any, chosen: tf.Tensor) -> Any:
    return tf.nest.map_structure(lambda column: tf.gather(column, chosen), labels)


def _chain(
    count: int,
    batch_size: int,
    seed: int | None,
    epochs: int | None,
    one_epoch: Callable[[tf.data.Dataset, tf.Tensor], tf.data.Dataset],
    start: tuple[int, int],
    repeated: Target | None,
    lengths: np.ndarray | None,
) -> tf.data.Dataset:
    if seed is None and epochs == 1:  # what Keras validates on; the chain below begins slowly
        return one_epoch(tf.data.Dataset.range(count), tf.constant(0, tf.int64)).prefetch(2)

    def order_of(epoch: np.ndarray) -> np.ndarray:
        assert seed is not None
        order = epoch_order(count, seed, int(epoch), repeated)
        if lengths is not None:
            generator = np.random.default_rng([seed, int(epoch), 1])
            order = grouped_by_length(order, lengths, batch_size, generator)
        return order[start[1] * batch_size :] if epoch == start[0] else order

    def batches_of(epoch: tf.Tensor) -> tf.data.Dataset:
        if seed is None:
            return one_epoch(tf.data.Dataset.range(count), epoch)
        order = tf.ensure_shape(tf.numpy_function(order_of, [epoch], tf.int64), (None,))
        return one_epoch(tf.data.Dataset.from_tensor_slices(order), epoch)

    num_batches = math.ceil(examples_an_epoch(count, repeated) / batch_size)
    if epochs is None:
        return tf.data.Dataset.counter(start[0]).flat_map(batches_of).prefetch(2)
    batches = tf.data.Dataset.range(epochs).flat_map(batches_of).prefetch(2)
    # Without it Keras takes the end of the data for a mistake and warns.
    return batches.apply(tf.data.experimental.assert_cardinality(epochs * num_batches))
