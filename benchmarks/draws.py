"""Which examples train, validate and test, drawn by seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import tftune
from benchmarks import fashion_mnist, own_data


def draw_indices(
    labels: Sequence[object] | np.ndarray,
    a_class: int,
    num_test: int,
    seed: int,
    first_test: int | None = None,
) -> tuple[list[int], list[int], list[int]]:
    """Draw `a_class` training examples a class, and a quarter as many (at least two) to validate.

    Args:
        labels: one an example.
        a_class: how many train; as many as there are where a class is smaller.
        num_test: how many test.
        seed: of the draw.
        first_test: where the examples begin that only test; None if any that is left may.

    Returns:
        The places of what trains, validates and tests.
    """
    labels = np.asarray(labels)
    order = np.random.default_rng(seed).permutation(len(labels))
    known = order if first_test is None else order[order < first_test]
    validate = max(2, a_class // 4)
    own = labels[known]
    places = [known[own == name][: a_class + validate].tolist() for name in np.unique(labels)]
    train = [i for place in places for i in place[:a_class]]
    validation = [i for place in places for i in place[a_class:]]
    used = {*train, *validation}
    left = [i for i in order.tolist() if (i not in used if first_test is None else i >= first_test)]
    return train, validation, left[:num_test]


def draw(name: str | Path, a_class: int, num_test: int, seed: int, fresh: bool) -> tftune.Dataset:
    """Draw images.

    Args:
        name: "fashion" or "digits", of ten classes each, or the reader's own folder.
        a_class: training images a class.
        num_test: test images.
        seed: of the draw.
        fresh: take the test images from the data set's own test file, if it has one.
    """
    if isinstance(name, Path):
        everything = own_data.everything(name)
        places = draw_indices(everything.labels, a_class, num_test, seed)
        parts = zip(("train", "validation", "test"), places, strict=True)
        return tftune.Dataset(*(everything.take(p).renamed(part) for part, p in parts))
    first_test = None
    if name == "digits":
        digits = load_digits()
        images = (digits.images * (255 / 16)).astype(np.uint8).repeat(8, 1).repeat(8, 2)
        labels = digits.target
    else:
        (images, labels), (test_images, test_labels) = fashion_mnist.load()
        if fresh:
            first_test = len(labels)
            images = np.concatenate([images, test_images])
            labels = np.concatenate([labels, test_labels])
    splits = draw_indices(labels, a_class, num_test, seed, first_test)
    chosen = np.concatenate(splits).astype(int)
    split = [
        part
        for part, places in zip(("train", "validation", "test"), splits, strict=True)
        for _ in places
    ]
    names = [str(label) for label in range(10)]
    return tftune.load_image_arrays(images[chosen], labels[chosen].astype(int), names, split=split)
