"""Calling a full disk what it is."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from tftune.errors import ExportError

_SENTENCE = "No space left on device"  # TensorFlow's file errors carry no number


@contextlib.contextmanager
def full_disk_named(target: Path) -> Iterator[None]:
    """Raise ExportError for a write that failed because the disk is full.

    Args:
        target: what was being written.

    Raises:
        ExportError: if the block ran out of space; other errors pass.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        if getattr(error, "errno", None) != errno.ENOSPC and _SENTENCE not in str(error):
            raise
        raise ExportError(
            f"The disk is full: {str(target)!r} could not be written, and nothing of it was left. "
            "Make room or choose a place on another disk."
        ) from error
