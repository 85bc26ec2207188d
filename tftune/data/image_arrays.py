"""Images in memory: NumPy arrays and what a `tf.data.Dataset` gives."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tftune.data.assemble import assemble, check_split_names
from tftune.data.bad_files import ON_BAD, keep_good
from tftune.data.dataset import Dataset
from tftune.data.decode import WHITE
from tftune.data.image_files import as_png, fingerprint
from tftune.data.labels import target_of_array
from tftune.data.targets import DEFAULT_TARGET
from tftune.errors import DataError, check_choice


@dataclass(frozen=True, eq=False)
class ImageArrays:
    """Images in memory as 8-bit RGB.

    Attributes:
        images: each uint8, shape (height, width, 3); shared by all that `take` returns.
        chosen: which of them these examples are, int, shape (num_examples,).
    """

    images: Sequence[np.ndarray] | np.ndarray
    chosen: np.ndarray

    def __len__(self) -> int:
        return len(self.chosen)

    def take(self, indices: np.ndarray) -> ImageArrays:
        """Return the chosen examples, in the order given; no pixels are copied."""
        return ImageArrays(self.images, self.chosen[np.asarray(indices, int)])

    @property
    def names(self) -> tuple[str, ...]:
        """The places in the arrays as they were given."""
        return tuple(f"image {index}" for index in self.chosen)

    @functools.cached_property
    def fingerprints(self) -> tuple[str, ...]:
        """A digest of each image's pixels, 32 hexadecimal digits each."""
        digests = []
        for index in self.chosen:
            pixels = np.ascontiguousarray(self.images[index])
            digests.append(fingerprint(repr(pixels.shape).encode() + pixels.tobytes()))
        return tuple(digests)

    def reader(self, background: Sequence[int] = WHITE) -> Callable[[tf.Tensor], tf.Tensor]:
        """Return a graph function from an index to pixels; see `Examples.reader`."""

        def pixels_of(index: np.ndarray) -> np.ndarray:
            return self.images[self.chosen[index]]

        def read(index: tf.Tensor) -> tf.Tensor:
            pixels = tf.numpy_function(pixels_of, [index], tf.uint8)
            return tf.ensure_shape(pixels, (None, None, 3))

        return read

    def pixels(self, index: int, background: Sequence[int] = WHITE) -> np.ndarray:
        """Return an image's pixels, uint8, shape (height, width, 3)."""
        return self.images[self.chosen[index]]

    def problems(self) -> list[str]:
        """Return nothing: images in memory were looked at when they came."""
        return []

    def encoded(self, index: int, background: Sequence[int] = WHITE) -> bytes:
        """Return an image as PNG."""
        return as_png(self.pixels(index))


def load_image_arrays(
    images: Any,
    labels: Any,
    class_names: Sequence[str] | None = None,
    *,
    task: str | None = None,
    split: Sequence[str] | None = None,
    groups: Sequence[object] | None = None,
    validation_share: float = 0.15,
    test_share: float = 0.15,
    seed: int = 0,
    on_bad: str = "raise",
) -> Dataset:
    """Take images and labels that are in memory already.

    Args:
        images: shape (num_images, height, width[, channels]) with 1, 3 or 4 channels, or a sequence
            of images of any sizes; uint8 in [0, 255], uint16 (its high byte is used), or floats in
            [0, 1] or [0, 255]. Alpha is laid over white.
        labels: class numbers, text, one-hot or 0/1 columns, or numbers to predict; -1 or NaN where
            unknown. See `task`.
        class_names: the meaning of the class numbers or columns.
        task: "multiclass", "multilabel" or "regression", where labels would be taken for something
            else.
        split: "train", "validation" or "test" for each image, where that is decided already.
        groups: one entry an image; no group is in two splits.
        validation_share: share of the examples for validation, in [0, 1).
        test_share: share of the examples for test, in [0, 1).
        seed: chooses which examples go to which split.
        on_bad: "raise" names the images that cannot be used (of another shape, with NaN, out of
            range); "skip" leaves them out and lists them in the Dataset's `skipped`.

    Returns:
        A Dataset that keeps the images in memory as 8-bit RGB.

    Raises:
        DataError: if images and labels do not match, or one cannot be used.
    """
    return dataset_of_arrays(
        as_rgb(images, on_bad),
        labels,
        class_names,
        task=task,
        ready=None if split is None else check_split_names(list(split), "`split`"),
        groups=groups,
        shares=(validation_share, test_share),
        seed=seed,
        source="arrays",
    )


def dataset_of_arrays(
    rgb: RgbImages,
    labels: Any,
    class_names: Sequence[str] | None,
    *,
    task: str | None,
    ready: Sequence[str] | None,
    groups: Sequence[object] | None,
    shares: tuple[float, float],
    seed: int,
    source: str,
) -> Dataset:
    """Make a Dataset of 8-bit RGB images and the labels of all images that were given."""
    count = len(rgb.good) + len(rgb.skipped)
    if not len(rgb.good):
        raise DataError(f"None of {count} images can be used. {rgb.skipped[0]}")
    try:
        target, said = target_of_array(DEFAULT_TARGET, labels, class_names, task)
    except DataError:
        raise
    except (ValueError, TypeError) as error:
        raise DataError(f"`labels` cannot be read as an array: {error}.") from error
    for name, values in (("labels", target.labels), ("split", ready), ("groups", groups)):
        if values is not None and len(values) != count:
            raise DataError(
                f"`{name}` must have one entry an image. Received: {len(values)} for "
                f"{count} images."
            )
    size = sum(image.nbytes for image in rgb.images)
    kept = f"{len(rgb.images)} images are kept in memory ({size / 2**20:,.0f} MB)."
    good = np.asarray(rgb.good, int)
    return assemble(
        ImageArrays(rgb.images, np.arange(len(rgb.images))),
        [target.take(good)],
        source=source,
        validation_share=shares[0],
        test_share=shares[1],
        seed=seed,
        groups=None if groups is None else [groups[index] for index in good],
        ready=None if ready is None else [ready[index] for index in good],
        notes=[kept, *rgb.notes, *said],
        skipped=rgb.skipped,
    )


@dataclass(frozen=True)
class RgbImages:
    """Images brought to 8-bit RGB.

    Attributes:
        images: uint8, shape (num_images, height, width, 3), or a list of images where sizes differ.
        good: which of the given images they are, in order.
        skipped: one sentence for every other one.
        notes: what was assumed.
    """

    images: Sequence[np.ndarray] | np.ndarray
    good: Sequence[int]
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def as_rgb(images: Any, on_bad: str = "raise", first: int = 0) -> RgbImages:
    """Bring images of any usual type to 8-bit RGB.

    Args:
        images: see `load_image_arrays`.
        on_bad: "raise" names images that cannot be used; "skip" leaves them out.
        first: the number of the first image, for messages.

    Raises:
        DataError: naming the images that cannot be used.
    """
    check_choice("on_bad", on_bad, ON_BAD)
    given: Any = images
    if isinstance(images, np.ndarray) and images.dtype != object:
        if images.ndim not in (3, 4) or not images.size:
            raise DataError(
                "`images` must have shape (num_images, height, width) or (num_images, height, "
                f"width, channels), and not be empty. Received shape: {images.shape}."
            )
    else:
        try:
            given = list(images)
        except TypeError as error:
            raise DataError(f"`images` must be an array or a sequence of them: {error}.") from error
    if not len(given):
        raise DataError("`images` must hold at least one image. Received: none.")
    is_plain = isinstance(given, np.ndarray) and given.dtype == np.uint8 and given.shape[3:] == (3,)
    if is_plain:
        return RgbImages(given, range(len(given)))  # nothing to do and nothing copied
    arrays, problems = [], []
    for index, image in enumerate(given, first):
        array, problem = _looked_at(image, index)
        arrays.append(array)
        problems.append(problem)
    # The range is that of all images: a dark one must not be taken for one in [0, 1].
    usable = [array for array in arrays if array is not None]
    highest = max((float(array.max()) for array in usable), default=0.0)
    in_units = {array.dtype.kind for array in usable} == {"f"} and highest <= 1
    is_deep = any(array.dtype == np.uint16 for array in usable) and highest > 255
    limit = 1 if in_units else 65535 if is_deep else 255
    for index, array in enumerate(arrays):
        if array is not None and (array.min() < 0 or array.max() > limit):
            problems[index] = (
                f"Image {first + index} must have values in [0, {limit}]. "
                f"Received: {array.min():g} to {array.max():g}."
            )
    if on_bad == "raise":
        keep_good(problems, on_bad)
    good = [index for index, problem in enumerate(problems) if not problem]
    converted = []
    for index in good:
        array = arrays[index]
        assert array is not None
        if is_deep:
            array = array.astype(np.uint16) >> 8
        scaled = np.rint(array * 255) if in_units else np.rint(array)
        converted.append(_three_channels(scaled.astype(np.uint8)))
    same = len({array.shape for array in converted}) == 1
    notes = ("Images in [0, 1] are scaled to [0, 255].",) if in_units else ()
    skipped = tuple(problem for problem in problems if problem)
    return RgbImages(np.stack(converted) if same else converted, good, skipped, notes)


def _looked_at(image: Any, index: int) -> tuple[np.ndarray | None, str]:
    """Return an image as an array, or None and what is wrong with it."""
    if isinstance(image, DataError):  # what came in its place
        return None, str(image)
    try:
        return _checked(image, index), ""
    except DataError as error:
        return None, str(error)


def _checked(image: Any, index: int) -> np.ndarray:
    try:
        array = np.asarray(image)
    except (ValueError, TypeError) as error:
        raise DataError(f"Image {index} cannot be read as an array: {error}.") from error
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or not array.size:
        raise DataError(
            f"Image {index} must have shape (height, width), or (height, width, channels) with 1, "
            f"3 or 4 channels. Received shape: {array.shape}."
        )
    if array.dtype.kind not in "buif":
        raise DataError(f"Image {index} must hold numbers. Received dtype: {array.dtype}.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError(f"Image {index} must hold finite numbers. It holds NaN or infinity.")
    return array.astype(np.uint8) * 255 if array.dtype.kind == "b" else array


def _three_channels(pixels: np.ndarray) -> np.ndarray:
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    if pixels.shape[2] == 3:
        return pixels
    values = pixels.astype(np.int32)
    colour, alpha = values[..., :3], values[..., 3:]
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
