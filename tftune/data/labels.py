"""From raw label values, text or numbers, to a Target."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tftune.config.model_spec import TASKS
from tftune.data.targets import DEFAULT_TARGET, Target
from tftune.errors import DataError, check_choice

if TYPE_CHECKING:
    import pandas as pd


def target_of_column(
    name: str,
    values: Sequence[Any],
    task: str | None = None,
    separator: str = "|",
    column: str = "",
) -> tuple[Target, list[str]]:
    """Read a manifest's label column.

    Lists and text with the separator are multilabel; numbers are regression; anything else is
    multiclass. Empty text and None are unknown, except that empty text in a multilabel column means
    that none of the labels applies.

    Args:
        name: the target's name.
        values: one an example: text, number, list of text, or None.
        task: "multiclass", "multilabel" or "regression", instead of what the values look like.
        separator: what stands between the labels of one example.
        column: what to call the column in messages.

    Returns:
        The target, and notes on what was assumed.

    Raises:
        DataError: if the values do not fit the task.
    """
    column = column or name
    values = [_plain(value) for value in values]
    notes = []
    if task is None:
        task = _guess(values, separator)
        if task == "regression":
            notes.append(
                f"Column {column!r} holds numbers and is predicted as a number (regression). If "
                f'they stand for classes, give tasks={{{column!r}: "multiclass"}}.'
            )
    check_choice("tasks", task, TASKS)
    if task == "regression":
        numbers = np.array([_number(v, i, column) for i, v in enumerate(values)], np.float32)
        return Target(name, task, (column,), numbers[:, np.newaxis]), notes
    if task == "multilabel":
        sets = [_parts(value, separator) for value in values]
        names = sorted({part for parts in sets if parts is not None for part in parts})
        _check_classes(names, column, 1)
        place = {part: index for index, part in enumerate(names)}
        labels = np.zeros((len(values), len(names)), np.float32)
        for row, parts in enumerate(sets):
            if parts is None:
                labels[row] = np.nan
            for part in parts or ():
                labels[row, place[part]] = 1
        return Target(name, task, tuple(names), labels), notes
    texts = [_text(value) for value in values]
    names = sorted({text for text in texts if text})
    _check_classes(names, column, 2)
    place = {text: index for index, text in enumerate(names)}
    classes = np.array([place.get(text, -1) for text in texts], np.int64)
    return Target(name, task, tuple(names), classes), notes


def targets_of_table(
    table: pd.DataFrame, labels: Sequence[str], tasks: Mapping[str, str], separator: str
) -> tuple[list[Target], list[str]]:
    """Read the label columns of a table.

    Args:
        table: one row an example.
        labels: the columns; one alone is the default target.
        tasks: the task by column, where the values would be taken for something else.
        separator: what stands between the labels of one example.

    Returns:
        A target a column, and notes on what was assumed.
    """
    targets, notes = [], []
    for column in labels:
        name = column if len(labels) > 1 else DEFAULT_TARGET
        target, said = target_of_column(
            name, list(table[column]), tasks.get(column), separator, column
        )
        targets.append(target)
        notes.extend(said)
    return targets, notes


def target_of_array(
    name: str, values: Any, class_names: Sequence[str] | None = None, task: str | None = None
) -> tuple[Target, list[str]]:
    """Read labels given as an array.

    Text is multiclass; whole numbers, shape (num_examples,), are class numbers; 0 and 1 in two
    dimensions are multiclass where every row has exactly one 1 (one-hot), multilabel otherwise;
    other numbers are regression.

    Args:
        name: the target's name.
        values: shape (num_examples,) or (num_examples, num_outputs).
        class_names: the meaning of the class numbers or columns; their numbers by default.
        task: "multiclass", "multilabel" or "regression", instead of what the values look like.

    Returns:
        The target, and notes on what was assumed.

    Raises:
        DataError: if the values do not fit the task or the class names.
    """
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim not in (1, 2) or not array.size:
        raise DataError(
            "`labels` must have shape (num_examples,) or (num_examples, num_outputs), and not be "
            f"empty. Received shape: {np.shape(values)}."
        )
    if array.dtype.kind in "OSU":
        texts = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in array.ravel()]
        if array.ndim != 1:
            raise DataError("`labels` of text must have one dimension, one label an example.")
        return target_of_column(name, texts, task or "multiclass", column="labels")
    if array.dtype.kind not in "biuf":
        raise DataError(f"`labels` must be numbers or text. Received dtype: {array.dtype}.")
    binary = array.ndim == 2 and bool(np.isin(array, (0, 1)).all())
    notes = []
    if binary and task in (None, "multiclass") and (array.sum(axis=1) == 1).all():
        array = array.argmax(axis=1) if class_names is None else _argmax(array, class_names)
        names_from = np.shape(values)[1]
        class_names = class_names or [str(index) for index in range(names_from)]
        notes.append("One-hot labels are read as one class an example.")
        task = "multiclass"
    if task is None:
        whole = array.dtype.kind in "biu"
        task = (
            "multilabel" if binary else "multiclass" if whole and array.ndim == 1 else "regression"
        )
    check_choice("task", task, TASKS)
    if task == "multiclass":
        return _classes(name, array, class_names), notes
    columns = array if array.ndim == 2 else array[:, np.newaxis]
    if task == "multilabel" and not np.isin(columns[np.isfinite(columns)], (0, 1)).all():
        raise DataError("`labels` of a multilabel target must be 0 or 1, or NaN where unknown.")
    largest = np.nanmax(np.abs(columns.astype(np.float64)), initial=0)
    if largest > float(np.finfo(np.float32).max):
        raise DataError(
            f"`labels` must be finite as float32, or NaN where unknown. Received: {largest:g}."
        )
    default = ["value"] if columns.shape[1] == 1 else [str(i) for i in range(columns.shape[1])]
    names = tuple(str(n) for n in (class_names or default))
    if len(names) != columns.shape[1]:
        raise DataError(
            f"`class_names` must have one name a column. Received: {len(names)} names for "
            f"{columns.shape[1]} columns."
        )
    return Target(name, task, names, columns.astype(np.float32)), notes


def _classes(name: str, array: np.ndarray, class_names: Sequence[str] | None) -> Target:
    if array.ndim != 1 or not (np.isfinite(array).all() and (array == np.floor(array)).all()):
        raise DataError("`labels` of a multiclass target must be whole numbers, one an example.")
    labels = array.astype(np.int64)
    names = [str(n) for n in class_names] if class_names else []
    if not names:
        names = [str(index) for index in range(max(int(labels.max()) + 1, 0))]
    _check_classes(names, "labels", 2)
    if labels.min() < -1 or labels.max() >= len(names):
        bad = int(labels.min() if labels.min() < -1 else labels.max())
        raise DataError(
            f"`labels` must be in [0, {len(names)}), or -1 where unknown. Received: {bad}."
        )
    return Target(name, "multiclass", tuple(names), labels)


def _argmax(array: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    if len(class_names) != array.shape[1]:
        raise DataError(
            f"`class_names` must have one name a column. Received: {len(class_names)} names for "
            f"{array.shape[1]} columns."
        )
    return array.argmax(axis=1)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, float) and math.isnan(value):
        return None
    # Tables mark what is missing with values of their own (pandas.NA), which equal nothing.
    return None if type(value).__name__ in ("NAType", "NaTType") else value


def _guess(values: Sequence[Any], separator: str) -> str:
    known = [value for value in values if value is not None and value != ""]
    if any(isinstance(v, (list, tuple)) or (isinstance(v, str) and separator in v) for v in known):
        return "multilabel"
    return "regression" if known and all(_is_number(value) for value in known) else "multiclass"


def _is_number(value: Any) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return False
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _number(value: Any, row: int, column: str) -> float:
    if value is None or (isinstance(value, str) and not value.strip()):
        return math.nan
    number = float(value) if _is_number(value) else math.inf
    if math.isinf(number) or abs(number) > float(np.finfo(np.float32).max):
        raise DataError(
            f"Column {column!r} must hold finite numbers. Received in row {row + 1}: {value!r}."
        )
    return number


def _parts(value: Any, separator: str) -> list[str] | None:
    if value is None:
        return None
    parts = value if isinstance(value, (list, tuple)) else str(value).split(separator)
    return [text for text in map(_text, parts) if text]


def _text(value: Any) -> str:
    # The same accent may be one character or two; as class names they are the same.
    return "" if value is None else unicodedata.normalize("NFC", str(value)).strip()


def _check_classes(names: Sequence[str], column: str, fewest: int) -> None:
    if len(names) < fewest:
        raise DataError(
            f"{column!r} must hold at least {fewest} different labels. Received: "
            f"{', '.join(map(repr, names)) or 'none'}."
        )
    if len(set(names)) < len(names):
        raise DataError(f"Class names must differ. Received in {column!r}: {list(names)}.")
