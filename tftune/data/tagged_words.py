"""Loading texts whose words are tagged, such as with the names of persons and places."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tftune.config.model_spec import TAGS
from tftune.data.assemble import assemble, split_name
from tftune.data.bad_files import keep_good
from tftune.data.dataset import Dataset
from tftune.data.entities import OUTSIDE
from tftune.data.tables import check_columns, decoded, read_table
from tftune.data.targets import DEFAULT_TARGET, Target
from tftune.data.text_examples import Texts
from tftune.data.text_table import repetition_notes
from tftune.errors import DataError

_CONLL = (".conll", ".conll2003", ".bio", ".iob", ".txt")
_NEW_DOCUMENT = "-DOCSTART-"


def load_tagged_words(
    path: str | os.PathLike[str],
    *,
    words: str = "tokens",
    tags: str = "tags",
    encoding: str | None = None,
    validation_share: float = 0.15,
    test_share: float = 0.15,
    seed: int = 0,
    on_bad: str = "raise",
) -> Dataset:
    """Load texts with a tag for every word, for finding names and other entities.

    Args:
        path: a `.jsonl` or `.parquet` file with a list of words and a list of tags a row; a CoNLL
            file (`.conll`, `.bio`, `.iob`, `.txt`: a word a line, its tag last on the line, an
            empty line after each text); or a folder of such files called train, validation (or
            dev) and test.
        words: the column of words of a `.jsonl` or `.parquet` file.
        tags: its column of tags: names such as "B-PER" and "O".
        encoding: of the files; UTF-8, or what a mark at a file's beginning says, if None.
        validation_share: share of the examples for validation, in [0, 1).
        test_share: share of the examples for test, in [0, 1).
        seed: chooses which examples go to which split.
        on_bad: "raise" names texts without words or with another number of tags; "skip" leaves
            them out and lists them in the Dataset's `skipped`.

    Returns:
        A Dataset with one target, of the task "tags". White space within a word becomes "_".

    Raises:
        DataError: if the files cannot be read, lack a column, or have texts that cannot be used.
    """
    files = _files(Path(path))
    texts: list[str] = []
    tagged: list[list[str]] = []
    problems, names, ready = [], [], []
    for file, split in files:
        for where, found, given in _rows(file, words, tags, encoding):
            texts.append(" ".join("_".join(str(word).split()) for word in found))
            tagged.append([str(tag).strip() for tag in given])
            problems.append(_problem(where, found, given))
            names.append(where)
            ready.append(split)
    good, skipped = keep_good(problems, on_bad)
    kinds = {tag for index in good for tag in tagged[index]} - {OUTSIDE}
    if not kinds:
        raise DataError(f"{Path(path).name!r} must hold tags other than {OUTSIDE!r}. Found none.")
    # Where nothing is known all scores are equal and the first counts.
    class_names = (OUTSIDE, *sorted(kinds))
    place = {tag: number for number, tag in enumerate(class_names)}
    labels = np.full((len(good), max(len(tagged[i]) for i in good)), -1, np.int64)
    for row, index in enumerate(good):
        labels[row, : len(tagged[index])] = [place[tag] for tag in tagged[index]]
    examples = Texts.of([texts[i] for i in good], [names[i] for i in good])
    return assemble(
        examples,
        [Target(DEFAULT_TARGET, TAGS, class_names, labels)],
        source=Path(path).name,
        validation_share=validation_share,
        test_share=test_share,
        seed=seed,
        ready=[ready[i] for i in good] if len(files) > 1 else None,
        notes=repetition_notes(examples),
        skipped=skipped,
    )


def _files(path: Path) -> list[tuple[Path, str]]:
    if not path.is_dir():
        return [(path, "")]
    found = [(file, split_name(file.stem) or "") for file in sorted(path.iterdir())]
    found = [(file, split) for file, split in found if split and file.is_file()]
    if "train" not in [split for _, split in found]:
        raise DataError(
            f"{str(path)!r} must hold files called train, validation and test. Found: "
            f"{', '.join(sorted(file.name for file in path.iterdir())) or 'nothing'}."
        )
    return found if len(found) > 1 else [(found[0][0], "")]


def _rows(
    file: Path, words: str, tags: str, encoding: str | None
) -> Iterator[tuple[str, Sequence[Any], Sequence[Any]]]:
    """Yield what to call each text, its words and its tags."""
    if file.suffix.lower() in _CONLL:
        yield from _conll_rows(file, encoding)
        return
    table = read_table(file, encoding)
    check_columns(table, file, words=words, tags=tags)
    for number, (found, given) in enumerate(zip(table[words], table[tags], strict=True), 1):
        if not all(isinstance(value, (list, tuple, np.ndarray)) for value in (found, given)):
            raise DataError(
                f"Row {number} of {file.name!r} must hold a list of words in {words!r} and a list "
                f"of tags in {tags!r}. Received: {str(found)[:40]!r}, {str(given)[:40]!r}."
            )
        yield f"{file.name}, row {number}", list(found), list(given)


def _conll_rows(
    file: Path, encoding: str | None
) -> Iterator[tuple[str, Sequence[Any], Sequence[Any]]]:
    if not file.is_file():
        raise DataError(f"`path` must be an existing file or folder. Received: {str(file)!r}.")
    words: list[str] = []
    tags: list[str] = []
    begun = 1
    for number, line in enumerate([*decoded(file, encoding).splitlines(), ""], 1):
        parts = line.split()
        if not parts or parts[0] == _NEW_DOCUMENT:
            if words:
                yield f"{file.name}, line {begun}", words, tags
            words, tags, begun = [], [], number + 1
            continue
        if len(parts) < 2:
            raise DataError(
                f"Line {number} of {file.name!r} must hold a word and its tag. Received: "
                f"{line[:40]!r}."
            )
        words.append(parts[0])
        tags.append(parts[-1])


def _problem(where: str, words: Sequence[Any], tags: Sequence[Any]) -> str:
    if not words:
        return f"{where} has no words."
    if not all(str(word).split() for word in words):
        return f"{where} has an empty word."
    if len(words) != len(tags):
        return f"{where} has {len(words)} words but {len(tags)} tags."
    return ""
