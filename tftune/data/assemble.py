"""The last step of every loader: examples and targets become a Dataset of three splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tftune.data.dataset import Dataset, Split
from tftune.data.examples import Examples
from tftune.data.splits import SPLIT_NAMES, divide
from tftune.data.targets import Target
from tftune.errors import DataError, did_you_mean

_SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "validate": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


def split_name(word: str) -> str | None:
    """Return "train", "validation" or "test" for a usual name of it, or None."""
    return _SPLIT_WORDS.get(word.strip().lower())


def assemble(
    examples: Examples,
    targets: Sequence[Target],
    *,
    source: str,
    validation_share: float,
    test_share: float,
    seed: int,
    groups: Sequence[object] | np.ndarray | None = None,
    ready: Sequence[str] | None = None,
    notes: Sequence[str] = (),
    skipped: Sequence[str] = (),
    columns: Mapping[str, Sequence[object]] | None = None,
) -> Dataset:
    """Divide examples and say what is odd about the result.

    Args:
        examples: the inputs.
        targets: what is to be predicted, one value an example each.
        source: a short name of where they came from.
        validation_share: share for validation, in [0, 1).
        test_share: share for test, in [0, 1).
        seed: chooses which examples go to which split.
        groups: one entry an example; no group is in two splits.
        ready: the name of the split of each example, where that is decided already.
        notes: what the reader should know.
        skipped: one sentence for every file left out.
        columns: what else is known about each example, by name.

    Raises:
        DataError: if no example is left to train on.
    """
    said = list(notes)
    divided = divide(targets, validation_share, test_share, seed, groups, ready)
    if not len(divided["train"]):
        raise DataError(f"{source!r} has no examples to train on. Give it some, or fewer shares.")
    if ready is not None:
        given = [name for name in SPLIT_NAMES if name in set(ready)]
        cut = [n for n in SPLIT_NAMES if n not in given and len(divided[n])]
        taken = f" {' and '.join(cut)} taken out of train." if cut else ""
        said.append(f"Ready-made splits kept as they are: {', '.join(given)}.{taken}")
    train = divided["train"]
    for target in targets:
        if target.task == "regression":
            continue
        counts = target.take(train).counts
        absent = [name for name, n in zip(target.class_names, counts, strict=True) if n == 0]
        if absent:
            said.append(f"No training example of {', '.join(map(repr, absent[:10]))}.")
    if skipped:
        said.append(f"{len(skipped)} file(s) skipped because they cannot be used; listed below.")
    splits = {
        name: Split(
            name,
            examples.take(divided[name]),
            tuple(target.take(divided[name]) for target in targets),
            {n: tuple(c[i] for i in divided[name]) for n, c in (columns or {}).items()},
        )
        for name in SPLIT_NAMES
    }
    return Dataset(**splits, source=source, notes=tuple(said), skipped=tuple(skipped))


def check_split_names(words: Sequence[str], where: str) -> list[str]:
    """Turn a column of usual split names into "train", "validation" and "test".

    Raises:
        DataError: if one is none of them.
    """
    names = []
    for place, word in enumerate(words):
        name = split_name(str(word))
        if name is None:
            raise DataError(
                f"The split of row {place + 1} of {where} must be train, validation or test. "
                f"Received: {str(word)!r}.{did_you_mean(str(word), _SPLIT_WORDS)}"
            )
        names.append(name)
    return names
