"""The reader's own data in the place of what a benchmark brings: `--data`."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

import tftune
from tftune.config.image_input import ImageInput
from tftune.data.pipeline import image_batches


def everything(folder: Path) -> tftune.Split:
    """Return all images of `folder/<class name>/` in an order that never changes.

    However many are taken from its beginning, classes have the shares that they have in all.
    """
    split = tftune.load_image_folder(folder, validation_share=0, test_share=0).train
    order = np.random.default_rng(0).permutation(len(split))
    labels = np.asarray(split.labels)[order]
    ranks = pd.Series(labels).groupby(labels).cumcount().to_numpy() + 1
    return split.take(order[np.argsort(ranks / np.bincount(labels)[labels], kind="stable")])


def images(folder: Path, train: int, validation: int = 0, test: int = 0) -> tftune.Dataset:
    """Divide the images of a folder.

    Args:
        folder: holds a folder a class.
        train: how many train.
        validation: how many validate.
        test: how many test, at most.

    Raises:
        SystemExit: if there are too few to train and validate.
    """
    split, needed = everything(folder), train + validation
    if len(split) < needed:
        raise SystemExit(
            f"{folder} has {len(split)} images, and this takes {needed}: {train} to train on and "
            f"{validation} to validate. Ask for fewer with --images."
        )
    return tftune.Dataset(
        train=split.take(range(train)),
        validation=split.take(range(train, needed)).renamed("validation"),
        test=split.take(range(needed, min(len(split), needed + test))).renamed("test"),
        source=folder.name,
    )


def arrays(folder: Path, side: int, count: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the images of a folder as RGB squares, and the numbers of their classes.

    Args:
        folder: holds a folder a class.
        side: pixels a side; images are stretched to it.
        count: how many; all by default.

    Returns:
        uint8, shape (num_images, side, side, 3), and int64, shape (num_images,).
    """
    split = everything(folder)
    split = split.take(range(min(len(split), count or len(split))))
    pixels = np.concatenate(list(image_batches(split.examples, ImageInput((side, side)))))
    return pixels.round().astype(np.uint8), np.asarray(split.labels, np.int64)


def copy(split: tftune.Split, folder: Path) -> None:
    """Write the files of a split's images to `folder/<class name>/`."""
    for place, (path, label) in enumerate(zip(split.examples.paths, split.labels, strict=True)):
        target = folder / split.class_names[label] / f"{place:06d}{Path(path).suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


def texts(table: Path) -> tuple[list[str], list[str]]:
    """Return the columns `text` and `label` of a table, shuffled with seed 0."""
    split = tftune.load_text_table(
        table, tasks={"label": "multiclass"}, validation_share=0, test_share=0
    ).train
    split = split.take(np.random.default_rng(0).permutation(len(split)))
    return list(split.examples.columns[0]), [split.class_names[i] for i in split.labels]
