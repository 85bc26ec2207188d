"""Loading a folder that holds one folder of images a class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from tftune.data.dataset import Dataset, ImageFiles, Split
from tftune.data.decode import IMAGE_SUFFIXES, read_image
from tftune.data.splits import SPLIT_NAMES, stratified_split
from tftune.errors import DataError


def load_image_folder(
    folder: str | os.PathLike[str],
    validation_share: float = 0.15,
    test_share: float = 0.15,
    seed: int = 0,
    check_files: bool = True,
) -> Dataset:
    """Load images from `folder/<class name>/<image file>`.

    Hidden files and files without an image suffix are passed over and counted in the notes. Paths
    are ordered by name, so the splits are the same on every machine that holds the same files.

    Args:
        folder: a folder of class folders.
        validation_share: share of each class for validation, in [0, 1).
        test_share: share of each class for test, in [0, 1).
        seed: chooses which examples go to which split.
        check_files: decode every file once, so that a damaged one is named now rather than in
            the middle of training.

    Returns:
        A Dataset; no pixels are kept in memory.

    Raises:
        DataError: if the folder is missing, is a file, holds no class folders, images at its top
            level, a single class, a class with fewer than two images, or a file that is no image.
    """
    root = Path(folder)
    if not root.exists():
        raise DataError(f"`folder` must be an existing folder. Received: {str(folder)!r}.")
    if not root.is_dir():
        raise DataError(f"`folder` must be a folder, not a file. Received: {str(folder)!r}.")
    class_folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    loose = [p for p in sorted(root.iterdir()) if p.is_file() and _is_image(p)]
    if loose:
        raise DataError(
            f"{str(root)!r} has {len(loose)} image(s) at its top level (first: {loose[0].name!r}). "
            "Put every image into a folder named after its class."
        )
    if not class_folders:
        raise DataError(
            f"{str(root)!r} holds no class folders. Expected one folder a class, "
            "each with that class's images."
        )
    paths: list[str] = []
    labels: list[int] = []
    passed_over = 0
    for label, class_folder in enumerate(class_folders):
        files = sorted(p for p in class_folder.rglob("*") if p.is_file() and not _hidden(p, root))
        images = [p for p in files if _is_image(p)]
        passed_over += len(files) - len(images)
        paths.extend(str(p) for p in images)
        labels.extend([label] * len(images))
    names = tuple(p.name for p in class_folders)
    _check_counts(root, names, np.bincount(labels, minlength=len(names)))
    if check_files:
        _check_decodable(paths)
    notes = (f"{passed_over} file(s) without an image suffix passed over.",) if passed_over else ()
    everything = Split.of_classes("all", ImageFiles(tuple(paths)), labels, names)
    chosen = stratified_split(labels, validation_share, test_share, seed)
    splits = {name: everything.take(chosen[name]).renamed(name) for name in SPLIT_NAMES}
    return Dataset(**splits, source=root.resolve().name, notes=notes)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _check_counts(root: Path, names: Sequence[str], counts: np.ndarray) -> None:
    if counts.sum() == 0:
        raise DataError(
            f"{str(root)!r} holds no images. Expected files ending in "
            f"{', '.join(sorted(IMAGE_SUFFIXES))} inside its class folders."
        )
    if len(names) < 2:
        raise DataError(
            f"{str(root)!r} holds one class ({names[0]!r}). A classifier needs at least two: "
            "add a folder of images that are something else."
        )
    small = [f"{name!r} ({count})" for name, count in zip(names, counts, strict=True) if count < 2]
    if small:
        raise DataError(
            "Every class needs at least two images, one to train on and one to validate on. "
            f"Too small: {', '.join(small)}. Add images or remove the folder."
        )


def _check_decodable(paths: Sequence[str]) -> None:
    def decodes(path: tf.Tensor) -> tf.Tensor:
        pixels = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
        return tf.size(pixels) > 0

    checked = tf.data.Dataset.from_tensor_slices(list(paths))
    checked = checked.map(decodes, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    good = sum(1 for _ in checked.ignore_errors())
    if good == len(paths):
        return
    for path in paths:
        read_image(path)  # raises, naming the first bad file
    raise DataError(f"{len(paths) - good} image(s) could not be decoded.")
