"""Data for peers: real examples, drawn by seed, written as plain files."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import corpora, fashion_mnist, own_data
from benchmarks.draws import draw_indices


@dataclasses.dataclass(frozen=True)
class Source:
    """Examples to draw from.

    Args:
        name: of the data.
        examples: pixels, shape (num_images, height, width), or paths of images, or texts.
        labels: a class name for each.
        first_test: where those that only test begin; None if any example may.
    """

    name: str
    examples: Any
    labels: Sequence[str]
    first_test: int | None = None

    def draw(self, a_class: int, num_test: int, seed: int) -> tuple[list[int], ...]:
        """Return places of what trains, validates (a quarter as many) and tests."""
        return draw_indices(self.labels, a_class, num_test, seed, self.first_test)


def load_images(folder: Path | None = None) -> Source:
    """Return Fashion-MNIST, or the images of `folder/<class name>/`."""
    if folder:
        split = own_data.everything(folder)
        names = [split.class_names[label] for label in split.labels]
        return Source(folder.name, [Path(path) for path in split.examples.paths], names)
    (images, labels), (test_images, test_labels) = fashion_mnist.load()
    names = [fashion_mnist.CLASS_NAMES[i] for i in np.concatenate([labels, test_labels])]
    return Source("fashion", np.concatenate([images, test_images]), names, len(labels))


def load_texts(table: Path | None = None) -> Source:
    """Return Debian's package descriptions, or the columns `text` and `label` of a CSV file."""
    if table:
        return Source(table.stem, *own_data.texts(table))
    texts, labels = corpora.descriptions()
    # The test texts stand last, as they do in Fashion-MNIST.
    texts, labels = texts[::-1], labels[::-1]
    return Source("descriptions", texts, labels, len(texts) - corpora.HELD_OUT)


def write(
    source: Source, kind: str, a_class: int, num_test: int, seed: int, folder: Path
) -> tuple[Path, Path, list[str]]:
    """Write a draw as plain files.

    Returns:
        For images the folder that holds `train/<class>/` and `val/<class>/`, for texts a table
        with the columns text, label, split; a JSON file that lists what to answer for (paths in
        one folder without classes, or texts); and the right answers.
    """
    train, validation, test = source.draw(a_class, num_test, seed)
    truth = [source.labels[i] for i in test]
    questions = folder / "test.json"
    if kind == "texts":
        table = folder / "texts.csv"
        with open(table, "w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(("text", "label", "split"))
            for name, places in (("train", train), ("validation", validation)):
                writer.writerows((source.examples[i], source.labels[i], name) for i in places)
        questions.write_text(json.dumps([source.examples[i] for i in test]), encoding="utf-8")
        return table, questions, truth
    training = folder / "images"
    for name, places in (("train", train), ("val", validation)):
        for i in places:
            _write_image(source.examples[i], training / name / source.labels[i] / f"{i:06d}")
    paths = [
        _write_image(source.examples[i], folder / "test" / f"{place:05d}")
        for place, i in enumerate(test)
    ]
    questions.write_text(json.dumps([str(path) for path in paths]), encoding="utf-8")
    return training, questions, truth


def _write_image(image: Path | np.ndarray, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(image, Path):
        target = target.with_suffix(image.suffix)
        shutil.copy(image, target)
        return target
    target = target.with_suffix(".png")
    Image.fromarray(image).save(target)
    return target
