"""Loading texts from folders of files, or from lists in memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tftune.data.assemble import assemble, split_name
from tftune.data.bad_files import keep_good
from tftune.data.dataset import Dataset
from tftune.data.labels import target_of_array
from tftune.data.tables import decoded
from tftune.data.targets import DEFAULT_TARGET, Target
from tftune.data.text_examples import Texts
from tftune.data.text_table import repetition_notes
from tftune.errors import DataError

_SUFFIX = ".txt"


def load_text_folder(
    root: str | os.PathLike[str],
    *,
    encoding: str | None = None,
    validation_share: float = 0.15,
    test_share: float = 0.15,
    seed: int = 0,
    on_bad: str = "raise",
) -> Dataset:
    """Load text files from one folder a class.

    Args:
        root: holds a folder a class, with `.txt` files; or folders called train, val and test that
            hold such folders.
        encoding: of the files; UTF-8, or what a mark at a file's beginning says, if None.
        validation_share: share of the examples for validation, in [0, 1).
        test_share: share of the examples for test, in [0, 1).
        seed: chooses which examples go to which split.
        on_bad: "raise" names files that are empty or not text; "skip" leaves them out and lists
            them in the Dataset's `skipped`.

    Returns:
        A Dataset; its texts are in memory.

    Raises:
        DataError: if there are no such folders, or files cannot be used.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise DataError(f"`root` must be a folder. Received: {str(root)!r}.")
    parts = [(part, split_name(part.name)) for part in _folders(folder)]
    divided = bool(parts) and all(name for _, name in parts)
    if not divided:
        parts = [(folder, None)]
    files, classes, ready = [], [], []
    for part, split in parts:
        for class_folder in _folders(part):
            for file in sorted(class_folder.rglob(f"*{_SUFFIX}")):
                files.append(file)
                classes.append(class_folder.name)
                ready.append(split or "")
    names = sorted(set(classes))
    if len(names) < 2:
        raise DataError(
            f"{str(root)!r} must hold at least two folders, one a class, with {_SUFFIX} files. "
            f"Found: {', '.join(map(repr, names)) or 'none'}."
        )
    texts, problems = [], []
    for file in files:
        try:
            texts.append(decoded(file, encoding))
            problems.append("" if texts[-1].strip() else f"{str(file)!r} has no text.")
        except DataError as error:
            texts.append("")
            problems.append(str(error))
    good, skipped = keep_good(problems, on_bad)
    labels = np.array([names.index(classes[i]) for i in good], np.int64)
    examples = Texts.of([texts[i] for i in good], [str(files[i]) for i in good])
    return assemble(
        examples,
        [Target(DEFAULT_TARGET, "multiclass", tuple(names), labels)],
        source=folder.name,
        validation_share=validation_share,
        test_share=test_share,
        seed=seed,
        ready=[ready[i] for i in good] if divided else None,
        notes=repetition_notes(examples),
        skipped=skipped,
    )


def load_texts(
    texts: Sequence[Any],
    labels: Any,
    class_names: Sequence[str] | None = None,
    *,
    task: str | None = None,
    validation_share: float = 0.15,
    test_share: float = 0.15,
    seed: int = 0,
) -> Dataset:
    """Load texts that are in memory.

    Args:
        texts: strings, or pairs of strings.
        labels: one an example: class names or numbers, rows of 0 and 1 (multilabel) or numbers.
        class_names: the meaning of class numbers or columns.
        task: "multiclass", "multilabel" or "regression", instead of what the labels look like.
        validation_share: share of the examples for validation, in [0, 1).
        test_share: share of the examples for test, in [0, 1).
        seed: chooses which examples go to which split.

    Returns:
        A Dataset.

    Raises:
        DataError: if an entry is not text, or texts and labels do not fit each other.
    """
    rows = [(entry,) if isinstance(entry, str) else tuple(entry) for entry in _checked(texts)]
    examples = Texts.of(rows, [f"text {index}" for index in range(len(rows))])
    target, notes = target_of_array(DEFAULT_TARGET, labels, class_names, task)
    if len(target) != len(examples):
        raise DataError(
            f"`labels` must have one entry a text. Received: {len(target)} labels for "
            f"{len(examples)} texts."
        )
    return assemble(
        examples,
        [target],
        source="texts",
        validation_share=validation_share,
        test_share=test_share,
        seed=seed,
        notes=[*notes, *repetition_notes(examples)],
    )


def _checked(texts: Sequence[Any]) -> Sequence[Any]:
    if isinstance(texts, str) or not len(texts):
        raise DataError(f"`texts` must be a list of strings or pairs. Received: {texts!r}.")
    sizes = set()
    for index, entry in enumerate(texts):
        parts = [entry] if isinstance(entry, str) else list(np.atleast_1d(entry))
        sizes.add(len(parts))
        if not all(isinstance(part, str) for part in parts) or len(parts) > 2:
            shown = repr(entry)[:60]
            raise DataError(f"`texts` must hold strings or pairs. Received at {index}: {shown}.")
        if not any(part.strip() for part in parts):
            raise DataError(f"`texts` must not be empty. Received at {index}: {entry!r}.")
    if len(sizes) > 1:
        raise DataError("`texts` must all be single texts or all be pairs. Received both.")
    return texts


def _folders(folder: Path) -> list[Path]:
    return sorted(
        entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )
