"""Scalars for TensorBoard."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf


@contextlib.contextmanager
def scalar_log(folder: Path | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield a function that logs a row of history as TensorBoard scalars, one graph a column.

    Args:
        folder: the run directory; the logs go into its `logs`, a run a phase. None logs nothing.
    """
    writers: dict[str, tf.summary.SummaryWriter] = {}

    def log(row: dict[str, Any]) -> None:
        if folder is None:
            return
        phase = row["phase"]
        if phase not in writers:
            writers[phase] = tf.summary.create_file_writer(str(folder / "logs" / phase))
        with writers[phase].as_default():
            for name, value in row.items():
                if name not in ("phase", "epoch"):
                    tf.summary.scalar(name, value, step=row["epoch"])
        writers[phase].flush()

    try:
        yield log
    finally:
        for writer in writers.values():
            writer.close()
