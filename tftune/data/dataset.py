"""Examples by index: paths, labels and what identifies them; pixels are read only when needed."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tftune.display import Displayed, Table
from tftune.errors import DataError


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Images on disk.

    Attributes:
        paths: one file an example.
    """

    paths: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, indices: np.ndarray) -> ImageFiles:
        """Return the chosen examples, in the order given."""
        return ImageFiles(tuple(self.paths[index] for index in indices))

    @functools.cached_property
    def fingerprints(self) -> tuple[str, ...]:
        """A digest of each file's bytes, 32 hexadecimal digits each."""
        with ThreadPoolExecutor() as pool:
            return tuple(pool.map(_digest_of_file, self.paths))


@dataclass(frozen=True, eq=False)
class Split(Displayed):
    """Labelled examples that are used together.

    Attributes:
        name: "train", "validation" or "test".
        examples: where the inputs come from.
        labels: int, shape (num_examples,), in [0, num_classes).
        class_names: the meaning of each label.
    """

    name: str
    examples: ImageFiles
    labels: np.ndarray
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.examples) != len(self.labels):
            raise DataError(
                f"`labels` must have one entry an example. Received: {len(self.labels)} labels "
                f"for {len(self.examples)} examples."
            )

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def num_classes(self) -> int:
        """How many classes the labels range over, present in this split or not."""
        return len(self.class_names)

    def take(self, indices: Sequence[int] | np.ndarray) -> Split:
        """Return a split of the chosen examples, in the order given."""
        chosen = np.asarray(indices, dtype=int)
        return Split(self.name, self.examples.take(chosen), self.labels[chosen], self.class_names)

    @property
    def fingerprint(self) -> str:
        """A digest of the examples' contents and labels, in order; paths do not count."""
        digest = hashlib.blake2b(digest_size=16)
        for content, label in zip(self.examples.fingerprints, self.labels.tolist(), strict=True):
            digest.update(f"{content}:{label};".encode())
        return digest.hexdigest()

    def sections(self) -> list[str | Table]:
        """Say how many examples of each class there are."""
        counts = np.bincount(self.labels, minlength=self.num_classes)
        rows = list(zip(self.class_names, counts.tolist(), strict=True))
        return [Table(("class", "examples"), rows, title=f"{self.name}: {len(self)} examples")]


@dataclass(frozen=True, eq=False)
class Dataset(Displayed):
    """Three splits over the same classes.

    Attributes:
        train: what is learned from.
        validation: what choices are made on.
        test: what the final figures are measured on.
        source: a short name of where the examples came from.
        notes: what the reader should know about how it was loaded.
    """

    train: Split
    validation: Split
    test: Split
    source: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def class_names(self) -> tuple[str, ...]:
        """The meaning of each label, in order."""
        return self.train.class_names

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return self.train.num_classes

    @property
    def splits(self) -> dict[str, Split]:
        """The three splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def fingerprint(self) -> str:
        """A digest of all contents, labels and class names."""
        digest = hashlib.blake2b("\0".join(self.class_names).encode(), digest_size=16)
        for split in self.splits.values():
            digest.update(split.fingerprint.encode())
        return digest.hexdigest()

    def sections(self) -> list[str | Table]:
        """Say how many examples each class has in each split."""
        counts = [
            np.bincount(split.labels, minlength=self.num_classes).tolist()
            for split in self.splits.values()
        ]
        rows = [
            (name, *by_split) for name, *by_split in zip(self.class_names, *counts, strict=True)
        ]
        total = ("all", *(len(split) for split in self.splits.values()))
        title = f"{self.source or 'Dataset'}: {self.num_classes} classes"
        return [Table(("class", *self.splits), [*rows, total], title=title), *self.notes]


def _digest_of_file(path: str) -> str:
    return hashlib.blake2b(Path(path).read_bytes(), digest_size=16).hexdigest()
