"""What becomes of files that cannot be used: refused by name, or left out and listed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from tftune.errors import DataError, check_choice

ON_BAD = ("raise", "skip")
_MOST_NAMED = 5


def keep_good(problems: Sequence[str], on_bad: str) -> tuple[list[int], tuple[str, ...]]:
    """Decide which examples are used.

    Args:
        problems: one entry an example: "" or a sentence that says what is wrong with it.
        on_bad: "raise" refuses all if one is bad; "skip" leaves the bad ones out.

    Returns:
        Indices of the good ones, and the sentences about all others.

    Raises:
        DataError: if one is bad and `on_bad` is "raise", or if all are.
    """
    check_choice("on_bad", on_bad, ON_BAD)
    good = [index for index, problem in enumerate(problems) if not problem]
    bad = tuple(problem for problem in problems if problem)
    if bad and (on_bad == "raise" or not good):
        if len(bad) == 1:
            raise DataError(f"{bad[0]} {_hint(on_bad)}".strip())
        more = f" And {len(bad) - _MOST_NAMED} more." if len(bad) > _MOST_NAMED else ""
        raise DataError(
            f"{len(bad)} of {len(problems)} examples cannot be used. "
            f"{' '.join(bad[:_MOST_NAMED])}{more} {_hint(on_bad)}".strip()
        )
    return good, bad


@contextlib.contextmanager
def bad_files_named(*sources: Any) -> Iterator[None]:
    """Say which files are damaged when reading them fails inside the block.

    Files that were loaded without `check_files` are first decoded when they are used, and what
    TensorFlow says then does not name them.

    Args:
        sources: what the block reads: `Examples`, or what holds no files.

    Raises:
        DataError: in place of TensorFlow's error, where a file is at fault.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.ResourceExhaustedError:
        raise
    except tf.errors.OpError as error:
        files = [source for source in sources if hasattr(source, "problems")]
        bad = [problem for source in files for problem in source.problems()]
        if not bad:
            raise
        more = f" And {len(bad) - _MOST_NAMED} more." if len(bad) > _MOST_NAMED else ""
        raise DataError(
            f"{' '.join(bad[:_MOST_NAMED])}{more} Load the data with `check_files=True`, which "
            'finds such files first; `on_bad="skip"` (--on-bad skip) then leaves them out.'
        ) from error


def _hint(on_bad: str) -> str:
    if on_bad != "raise":
        return ""
    return '`on_bad="skip"` (--on-bad skip) leaves such examples out and lists them.'
