"""Loading an existing `tf.data.Dataset` of images and labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tftune.data.assemble import assemble
from tftune.data.dataset import Dataset
from tftune.data.decode import decode_bytes
from tftune.data.image_arrays import as_rgb, dataset_of_arrays
from tftune.data.image_files import ImageFiles, as_png
from tftune.data.kept_images import keep_image, kept_images_folder
from tftune.data.labels import target_of_array
from tftune.data.targets import DEFAULT_TARGET
from tftune.errors import DataError

MEMORY_LIMIT = 1 << 30


def load_tf_dataset(
    dataset: tf.data.Dataset,
    class_names: Sequence[str] | None = None,
    *,
    validation: tf.data.Dataset | None = None,
    test: tf.data.Dataset | None = None,
    task: str | None = None,
    validation_share: float = 0.15,
    test_share: float = 0.15,
    seed: int = 0,
    memory_limit: int = MEMORY_LIMIT,
) -> Dataset:
    """Take the examples of a `tf.data.Dataset`, once and in its order.

    Images are kept in memory as 8-bit RGB. If they need more than `memory_limit`, they are written
    to the cache folder as PNG instead; the Dataset's notes say which.

    Args:
        dataset: elements (image, label), batched or not. Images as for `load_image_arrays`, all of
            one range, or encoded as bytes. It must end, and should not shuffle or augment.
        class_names: the meaning of the class numbers or columns.
        validation: the examples for validation, if they are apart already.
        test: the examples for test, if they are apart already.
        task: "multiclass", "multilabel" or "regression", where labels would be taken for something
            else.
        validation_share: share of the examples for validation, in [0, 1), without `validation`.
        test_share: share of the examples for test, in [0, 1), without `test`.
        seed: chooses which examples go to which split.
        memory_limit: bytes of pixels to keep in memory.

    Returns:
        A Dataset.

    Raises:
        DataError: if it never ends, is not of (image, label), or an image cannot be used.
    """
    parts = {"train": dataset}
    parts |= {n: p for n, p in (("validation", validation), ("test", test)) if p is not None}
    for name, part in parts.items():
        _check(part, name)
    images: list[np.ndarray] = []
    paths: list[str] = []
    labels: list[Any] = []
    ready: list[str] = []
    size = 0
    folder = kept_images_folder()
    try:
        for name, part in parts.items():
            for image, label in _examples(part):
                images.append(image)
                labels.append(label)
                ready.append(name)
                size += image.nbytes if image.dtype == np.uint8 else image.size
                if size > memory_limit:
                    # Each piece is brought to 8 bits by the range of its own, many, images.
                    pixels, _ = as_rgb(images)
                    paths.extend(keep_image(as_png(one), folder) for one in pixels)
                    images, size = [], 0
    except tf.errors.OpError as error:
        raise DataError(f"`dataset` failed while it was read: {error.message}.") from error
    if not labels:
        raise DataError("`dataset` must hold at least one example. Received: none.")
    divided = ready if len(parts) > 1 else None
    if not paths:
        pixels, notes = as_rgb(images)
        return dataset_of_arrays(
            pixels,
            labels,
            class_names,
            task=task,
            ready=divided,
            groups=None,
            shares=(validation_share, test_share),
            seed=seed,
            source="tf.data",
            notes=notes,
        )
    if images:
        paths.extend(keep_image(as_png(one), folder) for one in as_rgb(images)[0])
    target, said = target_of_array(DEFAULT_TARGET, labels, class_names, task)
    kept = f"{len(paths)} images are more than {memory_limit / 2**20:,.0f} MB and kept in {folder}."
    return assemble(
        ImageFiles(tuple(paths)),
        [target],
        source="tf.data",
        validation_share=validation_share,
        test_share=test_share,
        seed=seed,
        ready=divided,
        notes=[kept, *said],
    )


def _check(dataset: Any, name: str) -> None:
    argument = "dataset" if name == "train" else name
    spec = getattr(dataset, "element_spec", None)
    if not isinstance(dataset, tf.data.Dataset):
        raise DataError(
            f"`{argument}` must be a tf.data.Dataset. Received: {type(dataset).__name__}."
        )
    pair = spec if isinstance(spec, tuple) else ()
    if len(pair) != 2 or not all(isinstance(part, tf.TensorSpec) for part in pair):
        raise DataError(
            f"`{argument}` must have elements (image, label). Received: {spec}. Map it to such "
            'pairs first: dataset.map(lambda x: (x["image"], x["label"])).'
        )
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise DataError(f"`{argument}` never ends. Take it before it is repeated, or use take(n).")


def _examples(dataset: tf.data.Dataset) -> Iterator[tuple[np.ndarray, Any]]:
    image_spec = dataset.element_spec[0]
    is_batched = image_spec.shape.rank in (1, 4)
    if is_batched:
        dataset = dataset.unbatch()
    for index, (image, label) in enumerate(dataset.as_numpy_iterator()):
        if isinstance(image, bytes):
            image = decode_bytes(image, name=f"Image {index}")
        yield image, label
