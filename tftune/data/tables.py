"""Reading tables of examples: CSV, TSV, JSON lines or Parquet."""

from __future__ import annotations

import codecs
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tftune.errors import DataError, did_you_mean, did_you_mean_path

if TYPE_CHECKING:
    import pandas as pd

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")

# Longer marks first: that of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_table(path: str | os.PathLike[str], encoding: str | None = None) -> pd.DataFrame:
    """Read a table as text, numbers, lists and None; CSV and TSV hold text only.

    Args:
        path: a file that ends in .csv, .tsv, .jsonl or .parquet.
        encoding: of text, such as "cp1252"; UTF-8, or what a mark at its beginning says, if None.

    Returns:
        A DataFrame of Python objects, one row an example.

    Raises:
        DataError: if it is missing, empty, of another format, or damaged.
    """
    import pandas as pd

    file = Path(path)
    suffix = file.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise DataError(
            f"`path` must end in one of {', '.join(TABLE_SUFFIXES)}. Received: {str(path)!r}."
        )
    if not file.is_file():
        raise DataError(
            f"`path` must be an existing file. Received: {str(path)!r}.{did_you_mean_path(path)}"
        )
    try:
        if suffix == ".parquet":
            table = pd.read_parquet(file)
        elif suffix in (".jsonl", ".ndjson"):
            table = _read_json_lines(decoded(file, encoding), file.name)
        else:
            separator = "\t" if suffix == ".tsv" else ","
            # As text: else an identifier such as 007 loses its zeros, and a class NA its name.
            text = io.StringIO(decoded(file, encoding))
            table = pd.read_csv(text, sep=separator, dtype=str, keep_default_na=False)
    except ImportError as error:
        raise DataError(
            f"Reading {file.name!r} needs pyarrow: pip install pyarrow, or save it as CSV."
        ) from error
    except DataError:
        raise
    # The readers raise a dozen types of their own; whatever it is, the file is at fault.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise DataError(f"Table {str(path)!r} cannot be read: {reason}.") from error
    if not len(table):
        raise DataError(f"Table {str(path)!r} has no rows.")
    table = table.astype(object)
    table.columns = [str(column).strip() for column in table.columns]
    return table.where(table.notna(), None)


def check_columns(table: pd.DataFrame, path: Path, **named: str | Iterable[str] | None) -> None:
    """Raise DataError unless a table has exactly one column of each name.

    Args:
        table: what was read.
        path: where from.
        named: by argument, the column or columns that it names.
    """
    for argument, columns in named.items():
        for column in [columns] if isinstance(columns, str) else columns or ():
            _check_column(table, column, path, argument)


def _check_column(table: pd.DataFrame, column: str, path: Path, argument: str) -> None:
    count = list(table.columns).count(column)
    if count != 1:
        rule = "has no column" if not count else "has several columns called"
        raise DataError(
            f"Table {path.name!r} {rule} {column!r}. `{argument}` must name one of: "
            f"{', '.join(repr(c) for c in table.columns)}."
            f"{did_you_mean(column, table.columns) if not count else ''}"
        )


def decoded(file: Path, encoding: str | None = None) -> str:
    """Read a text file.

    Args:
        file: the file.
        encoding: UTF-8, or what a mark at the file's beginning says, if None.

    Raises:
        DataError: if its bytes are not of that encoding, or it holds NUL characters.
    """
    content = file.read_bytes()
    mark = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    name = encoding or mark
    try:
        text = content.decode(name)
    except LookupError as error:
        raise DataError(
            f"`encoding` must be one that Python knows, such as 'utf-8' or 'cp1252'. "
            f"Received: {encoding!r}."
        ) from error
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{file.name!r} cannot be read as {name}: line {line} holds the byte "
            f"0x{content[error.start]:02x}. Name its `encoding`, such as 'cp1252', or save it as "
            "UTF-8."
        ) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(
            f"{file.name!r} holds NUL characters, first in line {line}. It is damaged, or its "
            "`encoding` is another one."
        )
    return text


def _read_json_lines(text: str, name: str) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"Line {number} of {name!r} is not JSON: {error}.") from error
        if not isinstance(row, dict):
            raise DataError(f"Line {number} of {name!r} must be a JSON object: {line[:40]!r}.")
        rows.append(row)
    return pd.DataFrame(rows, dtype=object)


def unlabelled_rows(
    table: pd.DataFrame, labels: Sequence[str], tasks: Mapping[str, str], separator: str
) -> list[bool]:
    """Tell for each row whether it has no label in any column."""
    rows = np.ones(len(table), bool)
    for column in labels:
        cells = list(table[column])
        empty: tuple[object, ...] = (None, "")
        if tasks.get(column) == "multilabel" or any(
            not isinstance(cell, str) and np.ndim(cell) or separator in str(cell) for cell in cells
        ):
            empty = (None,)  # empty text says that none of the labels applies
        rows &= np.array([not np.ndim(cell) and cell in empty for cell in cells])
    return rows.tolist()


def group_names(values: Sequence[object]) -> list[str]:
    """An example without a group is a group of its own."""
    return [
        f"row {row}" if value is None or value == "" else f"group {value}"
        for row, value in enumerate(values)
    ]


def other_columns(table: pd.DataFrame, used: Sequence[str | None]) -> dict[str, tuple[object, ...]]:
    """Return the columns of a table that nothing was read from, by name.

    Args:
        table: one row an example.
        used: the columns that are known otherwise; None stands for no column.
    """
    return {
        name: tuple(table[name])
        for name in dict.fromkeys(table.columns)
        if name not in used and list(table.columns).count(name) == 1
    }
