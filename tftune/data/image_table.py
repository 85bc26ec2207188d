"""Loading images listed in a table: CSV, TSV, JSON lines or Parquet."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from tftune.data.assemble import assemble, check_split_names
from tftune.data.bad_files import keep_good
from tftune.data.dataset import Dataset
from tftune.data.image_files import ImageFiles, check_images
from tftune.data.image_folder import suffix_notes
from tftune.data.labels import targets_of_table
from tftune.data.tables import (
    check_columns,
    group_names,
    other_columns,
    read_table,
    unlabelled_rows,
)
from tftune.errors import DataError


def load_image_table(
    path: str | os.PathLike[str],
    image: str = "path",
    label: str | Sequence[str] = "label",
    *,
    tasks: Mapping[str, str] | None = None,
    split: str | None = None,
    group: str | None = None,
    root: str | os.PathLike[str] | None = None,
    separator: str = "|",
    validation_share: float = 0.15,
    test_share: float = 0.15,
    seed: int = 0,
    check_files: bool = True,
    on_bad: str = "raise",
) -> Dataset:
    """Load images from a table with a column of paths and one or more columns of labels.

    Several label columns become several targets. Lists and text with the separator are multilabel,
    numbers are regression, anything else is multiclass. An empty cell is an unknown label, except
    that in a multilabel column empty text means that no label applies.

    Args:
        path: a file that ends in .csv, .tsv, .jsonl or .parquet, in UTF-8.
        image: the column of image paths.
        label: the column of labels, or several columns.
        tasks: "multiclass", "multilabel" or "regression" by label column, where the values would
            be taken for something else.
        split: a column that says train, validation or test for each row.
        group: a column such as the patient; no group is in two splits.
        root: what relative image paths are relative to; the table's folder by default.
        separator: what stands between the labels of one image.
        validation_share: share of the examples for validation, in [0, 1).
        test_share: share of the examples for test, in [0, 1).
        seed: chooses which examples go to which split.
        check_files: decode every file once, so that a damaged one is named now; otherwise only
            its header is read.
        on_bad: "raise" names rows whose image or label cannot be used; "skip" leaves them out and
            lists them in the Dataset's `skipped`.

    Returns:
        A Dataset; no pixels are kept in memory. Columns beside image, label and split are kept in
        each split's `columns`.

    Raises:
        DataError: if the table cannot be read, lacks a column, or has rows that cannot be used.
    """
    file = Path(path)
    table = read_table(file)
    labels = [label] if isinstance(label, str) else list(label)
    if not labels:
        raise DataError("`label` must name at least one column. Received: none.")
    tasks = dict(tasks or {})
    check_columns(table, file, image=image, label=labels, tasks=tasks, split=split, group=group)
    base = Path(root) if root is not None else file.parent
    given = ["" if value is None else str(value).strip() for value in table[image]]
    paths = [str(base / text) if text else "" for text in given]
    checked = check_images(paths, decode=check_files)
    unlabelled = unlabelled_rows(table, labels, tasks, separator)
    problems = [
        _problem(row, text, checked[row].problem, unlabelled[row]) for row, text in enumerate(given)
    ]
    good, skipped = keep_good(problems, on_bad)
    kept = table.iloc[good]
    used = [checked[index] for index in good]
    notes = suffix_notes(used)
    targets, said = targets_of_table(kept, labels, tasks, separator)
    notes.extend(said)
    repeated = len(used) - len({check.path for check in used})
    if repeated:
        notes.append(f"{repeated} row(s) name an image that another row names too.")
    examples = ImageFiles(
        tuple(check.path for check in used),
        tuple(check.decoder for check in used),
        tuple(check.fingerprint for check in used) if check_files else None,
    )
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
        columns=other_columns(kept, [image, split, *labels]),
    )


def _problem(row: int, text: str, problem: str, unlabelled: bool) -> str:
    if not text:
        return f"Row {row + 1} names no image."
    if problem:
        return problem
    return f"Row {row + 1} ({text!r}) has no label." if unlabelled else ""
