"""Labelled examples by index, in splits; pixels are read only when needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tftune.data.examples import Examples
from tftune.data.image_files import ImageFiles as ImageFiles
from tftune.data.targets import DEFAULT_TARGET, Target
from tftune.display import Displayed, Table
from tftune.errors import DataError
from tftune.results.audit import Issue, distinct


@dataclass(frozen=True, eq=False)
class Split(Displayed):
    """Labelled examples that are used together.

    Attributes:
        name: "train", "validation" or "test".
        examples: where the inputs come from.
        targets: what is to be predicted; most data has one.
        columns: what else is known about each example, such as the camera, by name; each one entry
            an example.
    """

    name: str
    examples: Examples
    targets: tuple[Target, ...]
    columns: Mapping[str, Sequence[object]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "targets", tuple(self.targets))
        if not self.targets:
            raise DataError("`targets` must hold at least one Target. Received: none.")
        for target in self.targets:
            if len(self.examples) != len(target):
                raise DataError(
                    f"`labels` must have one entry an example. Received: {len(target)} labels "
                    f"for {len(self.examples)} examples."
                )

    @classmethod
    def of_classes(
        cls,
        name: str,
        examples: Examples,
        labels: Sequence[int] | np.ndarray,
        class_names: Sequence[str],
    ) -> Split:
        """Make a split with one multiclass target.

        Args:
            name: "train", "validation" or "test".
            examples: where the inputs come from.
            labels: int, shape (num_examples,), in [0, num_classes).
            class_names: the meaning of each label.
        """
        values = np.asarray(labels, dtype=np.int64)
        target = Target(DEFAULT_TARGET, "multiclass", tuple(class_names), values)
        return cls(name, examples, (target,))

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def labels(self) -> np.ndarray:
        """The first target's values; see `Target.labels`."""
        return self.targets[0].labels

    @property
    def class_names(self) -> tuple[str, ...]:
        """The first target's class names."""
        return self.targets[0].class_names

    @property
    def task(self) -> str:
        """The first target's task."""
        return self.targets[0].task

    @property
    def num_classes(self) -> int:
        """How many classes the first target has, present in this split or not."""
        return self.targets[0].num_classes

    def take(self, indices: Sequence[int] | np.ndarray) -> Split:
        """Return a split of the chosen examples, in the order given."""
        chosen = np.asarray(indices, dtype=int)
        targets = tuple(target.take(chosen) for target in self.targets)
        columns = {n: tuple(column[i] for i in chosen) for n, column in self.columns.items()}
        return Split(self.name, self.examples.take(chosen), targets, columns)

    def renamed(self, name: str) -> Split:
        """Return the same examples under another split's name."""
        return Split(name, self.examples, self.targets, self.columns)

    @property
    def fingerprint(self) -> str:
        """A digest of the examples' contents and targets, in order; paths do not count."""
        digest = hashlib.blake2b("\n".join(self.examples.fingerprints).encode(), digest_size=16)
        for target in self.targets:
            digest.update(target.content)
        return digest.hexdigest()

    def sections(self) -> list[str | Table]:
        """Say how many examples of each class there are."""
        title = f"{self.name}: {len(self)} examples"
        return [
            Table(
                ("class" if len(self.targets) == 1 else target.name, "examples"),
                list(zip(target.class_names, target.counts.tolist(), strict=True)),
                title=title,
            )
            for target in self.targets
        ]


@dataclass(frozen=True, eq=False)
class Dataset(Displayed):
    """Three splits over the same classes.

    Attributes:
        train: what is learned from.
        validation: what choices are made on.
        test: what the final figures are measured on.
        source: a short name of where the examples came from.
        notes: what the reader should know about how it was loaded.
        skipped: one sentence for every file that was left out because it is damaged.
    """

    train: Split
    validation: Split
    test: Split
    source: str = ""
    notes: tuple[str, ...] = field(default=())
    skipped: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        # A split is known by its place here, whatever it was called before.
        for name, split in self.splits.items():
            if split.name != name:
                object.__setattr__(self, name, split.renamed(name))

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

    def drop(self, issues: Iterable[Issue]) -> Dataset:
        """Return a dataset without the examples that an audit found fault with.

        Of copies within a split the first stays. Of copies in several splits those of the test
        split stay, or else those of validation, so that what figures are measured on does not
        change. Of identical images with different labels none stays, since nothing says which
        label is right. Unreadable files, dark and odd images, outliers and likely label errors go.

        Args:
            issues: what to act on, such as `report.issues` or `report.of_kind("leakage")`.

        Returns:
            A new Dataset; a note says how many examples were dropped.

        Raises:
            DataError: if the issues are about other data, or nothing would be left to train on.
        """
        doomed = distinct(issue.drop for issue in issues)
        if not doomed:
            return self
        kept: dict[str, Split] = {}
        for name, split in self.splits.items():
            indices = [example.index for example in doomed if example.split == name]
            paths = {e.index: e.path for e in doomed if e.split == name}
            here = split.examples.names
            if any(not 0 <= index < len(split) for index in indices) or any(
                index >= len(here) or here[index] != path for index, path in paths.items()
            ):
                raise DataError(
                    "`issues` must come from an audit of this very dataset. Received issues that "
                    "name other files. Audit this dataset and drop what that report lists."
                )
            kept[name] = split.take(np.setdiff1d(np.arange(len(split)), indices))
        if not len(kept["train"]):
            raise DataError(
                "Dropping all these examples would leave nothing to train on. "
                'Choose fewer, such as `report.of_kind("unreadable", "leakage")`.'
            )
        note = f"{len(doomed)} example(s) dropped after an audit."
        return replace(
            self,
            train=kept["train"],
            validation=kept["validation"],
            test=kept["test"],
            notes=(*self.notes, note),
        )

    def sections(self) -> list[str | Table]:
        """Say how many examples each class has in each split."""
        title = f"{self.source or 'Dataset'}: {self.num_classes} classes"
        shown: list[str | Table] = []
        for index, target in enumerate(self.train.targets):
            counts = [split.targets[index].counts.tolist() for split in self.splits.values()]
            rows = [
                (name, *by_split)
                for name, *by_split in zip(target.class_names, *counts, strict=True)
            ]
            rows.append(("all", *(len(split) for split in self.splits.values())))
            heading = "class" if len(self.train.targets) == 1 else target.name
            shown.append(Table((heading, *self.splits), rows, title="" if index else title))
        return [*shown, *self.notes, *(f"Skipped: {sentence}" for sentence in self.skipped)]
