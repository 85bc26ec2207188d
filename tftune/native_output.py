"""Holding back what C++ libraries print about themselves to the process's standard error."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def captured_stderr() -> Iterator[Callable[[], str]]:
    """Collect everything written to file descriptor 2; print it if the block raises.

    Yields:
        A function that returns what was collected, to be called after the block.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile(mode="w+b") as sink:

        def text() -> str:
            sink.seek(0)
            return sink.read().decode(errors="replace")

        collected: list[str] = []
        os.dup2(sink.fileno(), 2)
        try:
            yield lambda: collected[0]
        except BaseException:
            os.dup2(saved, 2)
            sys.stderr.write(text())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            collected.append(text())
