"""Loading texts listed in a table: CSV, TSV, JSON lines or Parquet."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tftune.data.assemble import assemble, check_split_names
from tftune.data.bad_files import keep_good
from tftune.data.dataset import Dataset
from tftune.data.labels import targets_of_table
from tftune.data.tables import (
    check_columns,
    group_names,
    other_columns,
    read_table,
    unlabelled_rows,
)
from tftune.data.text_examples import Texts
from tftune.errors import DataError


def load_text_table(
    path: str | os.PathLike[str],
    text: str | Sequence[str] = "text",
    label: str | Sequence[str] = "label",
    *,
    tasks: Mapping[str, str] | None = None,
    split: str | None = None,
    group: str | None = None,
    encoding: str | None = None,
    separator: str = "|",
    validation_share: float = 0.15,
    test_share: float = 0.15,
    seed: int = 0,
    on_bad: str = "raise",
) -> Dataset:
    """Load texts from a table with a column of texts and one or more columns of labels.

    Several label columns become several targets. Lists and text with the separator are multilabel,
    numbers are regression, anything else is multiclass. An empty label is unknown, except that in a
    multilabel column empty text means that no label applies.

    Args:
        path: a file that ends in .csv, .tsv, .jsonl or .parquet.
        text: the column of texts; two columns for pairs, such as a question and an answer.
        label: the column of labels, or several columns.
        tasks: "multiclass", "multilabel" or "regression" by label column, where the values would
            be taken for something else.
        split: a column that says train, validation or test for each row.
        group: a column such as the author; no group is in two splits.
        encoding: of the file, such as "cp1252"; UTF-8, or what a mark at its beginning says, if
            None.
        separator: what stands between the labels of one text.
        validation_share: share of the examples for validation, in [0, 1).
        test_share: share of the examples for test, in [0, 1).
        seed: chooses which examples go to which split.
        on_bad: "raise" names rows without text or label; "skip" leaves them out and lists them in
            the Dataset's `skipped`.

    Returns:
        A Dataset; its texts are in memory. The table's other columns are in each split's `columns`.

    Raises:
        DataError: if the table cannot be read, lacks a column, or has rows that cannot be used.
    """
    file = Path(path)
    table = read_table(file, encoding)
    columns = [text] if isinstance(text, str) else list(text)
    labels = [label] if isinstance(label, str) else list(label)
    if len(columns) not in (1, 2):
        raise DataError(f"`text` must name one column, or two for pairs. Received: {text!r}.")
    if not labels:
        raise DataError("`label` must name at least one column. Received: none.")
    tasks = dict(tasks or {})
    check_columns(table, file, text=columns, label=labels, tasks=tasks, split=split, group=group)
    notes = []
    cells = []
    for column in columns:
        values = list(table[column])
        numbers = sum(_is_number(value) for value in values)
        if numbers == len(values):
            notes.append(
                f"Column {column!r} holds numbers only, which are read as text. Is another column "
                f"the text? There are: {', '.join(map(repr, table.columns))}."
            )
        elif numbers and not all(isinstance(value, str) for value in values):
            notes.append(f"Column {column!r} holds {numbers} number(s), which are read as text.")
        cells.append([as_text(value) for value in values])
    rows = list(zip(*cells, strict=True))
    unlabelled = unlabelled_rows(table, labels, tasks, separator)
    problems = [_problem(index, row, unlabelled[index]) for index, row in enumerate(rows)]
    good, skipped = keep_good(problems, on_bad)
    kept = table.iloc[good]
    targets, said = targets_of_table(kept, labels, tasks, separator)
    notes.extend(said)
    examples = Texts.of([tuple(map(str, rows[i])) for i in good], [f"row {i + 1}" for i in good])
    notes.extend(repetition_notes(examples))
    return assemble(
        examples,
        targets,
        source=file.name,
        validation_share=validation_share,
        test_share=test_share,
        seed=seed,
        groups=None if group is None else group_names(list(kept[group])),
        ready=None if split is None else check_split_names(list(kept[split]), repr(file.name)),
        notes=notes,
        skipped=skipped,
        columns=other_columns(kept, [*columns, split, *labels]),
    )


def as_text(value: Any) -> str | None:
    """Turn a cell into text; None where it holds nothing, or no text."""
    if value is None or isinstance(value, (list, tuple, dict)):
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def repetition_notes(examples: Texts) -> list[str]:
    """Say how many examples repeat another one, if any do."""
    repeated = len(examples) - len(set(examples.fingerprints))
    told = f"{repeated} text(s) are exact copies of another one; `tftune.audit` lists such."
    return [told] if repeated else []


def _is_number(value: Any) -> bool:
    """Tell whether a cell is a number; those of a CSV are written in text."""
    try:
        return value is not None and np.isfinite(float(value))
    except (TypeError, ValueError):
        return False


def _problem(row: int, texts: Sequence[str | None], unlabelled: bool) -> str:
    if not any(text and text.strip() for text in texts):
        return f"Row {row + 1} has no text."
    if any(text is None for text in texts):
        return f"Row {row + 1} has no text in one of the columns."
    return f"Row {row + 1} has no label." if unlabelled else ""
