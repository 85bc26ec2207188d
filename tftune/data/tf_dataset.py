"""Loading an existing `tf.data.Dataset` of images and labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tftune.data.assemble import assemble
from tftune.data.bad_files import ON_BAD
from tftune.data.dataset import Dataset
from tftune.data.decode import decode_bytes
from tftune.data.image_arrays import RgbImages, as_rgb, dataset_of_arrays
from tftune.data.image_files import ImageFiles, as_png
from tftune.data.kept_images import keep_image, kept_images_folder
from tftune.data.labels import target_of_array
from tftune.data.targets import DEFAULT_TARGET
from tftune.errors import DataError, check_choice

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
    on_bad: str = "raise",
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
        on_bad: "raise" names the images that cannot be used; "skip" leaves them out and lists them
            in the Dataset's `skipped`.

    Returns:
        A Dataset.

    Raises:
        DataError: if it never ends, is not of (image, label), or an image cannot be used.
    """
    parts = {"train": dataset}
    parts |= {n: p for n, p in (("validation", validation), ("test", test)) if p is not None}
    for name, part in parts.items():
        _check(part, name)
    check_choice("on_bad", on_bad, ON_BAD)
    labels: list[Any] = []
    ready: list[str] = []
    held = _Held(kept_images_folder(), on_bad)
    try:
        for name, part in parts.items():
            for image, label in _examples(part):
                held.add(image)
                labels.append(label)
                ready.append(name)
                if held.size_bytes > memory_limit:
                    held.write()
    except tf.errors.OpError as error:
        raise DataError(f"`dataset` failed while it was read: {error.message}.") from error
    if not labels:
        raise DataError("`dataset` must hold at least one example. Received: none.")
    divided = ready if len(parts) > 1 else None
    if not held.paths:
        return dataset_of_arrays(
            held.in_memory(),
            labels,
            class_names,
            task=task,
            ready=divided,
            groups=None,
            shares=(validation_share, test_share),
            seed=seed,
            source="tf.data",
        )
    held.write()
    target, said = target_of_array(DEFAULT_TARGET, labels, class_names, task)
    good = np.asarray(held.good, int)
    limit = f"{memory_limit / 2**20:,.0f} MB"
    kept = f"{len(held.paths)} images are more than {limit} and kept in {held.folder}."
    return assemble(
        ImageFiles(tuple(held.paths)),
        [target.take(good)],
        source="tf.data",
        validation_share=validation_share,
        test_share=test_share,
        seed=seed,
        ready=None if divided is None else [divided[index] for index in good],
        notes=[kept, *said],
        skipped=held.skipped,
    )


class _Held:
    """Images as they come, in memory until they are written to the cache folder.

    Attributes:
        size_bytes: what the images in memory take as 8 bits.
        paths: the files written.
        good: which images were written, in order.
        skipped: one sentence for every one that was not.
    """

    def __init__(self, folder: Path, on_bad: str) -> None:
        self.folder = folder
        self.size_bytes = 0
        self.paths: list[str] = []
        self.good: list[int] = []
        self.skipped: tuple[str, ...] = ()
        self._on_bad = on_bad
        self._images: list[Any] = []
        self._first = 0

    def add(self, image: Any) -> None:
        """Take an image: pixels or encoded bytes."""
        if isinstance(image, bytes):
            number = self._first + len(self._images)
            try:
                image = decode_bytes(image, name=f"Image {number}")
            except DataError as error:
                if self._on_bad == "raise":
                    raise
                image = error  # `as_rgb` leaves it out
        self._images.append(image)
        if isinstance(image, np.ndarray):
            self.size_bytes += image.nbytes if image.dtype == np.uint8 else image.size

    def write(self) -> None:
        """Write the images in memory as PNG."""
        if not self._images:
            return
        # Each piece is brought to 8 bits by the range of its own, many, images.
        rgb = as_rgb(self._images, self._on_bad, self._first)
        self.paths.extend(keep_image(as_png(one), self.folder) for one in rgb.images)
        self.good.extend(self._first + index for index in rgb.good)
        self.skipped += rgb.skipped
        self._first += len(self._images)
        self._images, self.size_bytes = [], 0

    def in_memory(self) -> RgbImages:
        """Return all images, when none was written."""
        return as_rgb(self._images, self._on_bad)


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
    yield from dataset.as_numpy_iterator()
