"""What every command shares: quiet imports, and errors as sentences."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator
from typing import Any

import typer
import typer.core

from tftune.errors import TftuneError
from tftune.native_output import captured_stderr

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


class SentenceGroup(typer.core.TyperGroup):
    """A group of commands whose expected failures end in one sentence on standard error.

    Exit codes: 0 done; 2 bad input, as for a wrong option; 130 after Ctrl-C.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except TftuneError as error:
            print(f"Error: {error}", file=sys.stderr)
            raise typer.Exit(EXIT_BAD_INPUT) from error
        except KeyboardInterrupt as interruption:
            message = "\nStopped at your request. Files already written are whole."
            print(message, file=sys.stderr)
            raise typer.Exit(EXIT_INTERRUPTED) from interruption


def as_command(*words: object) -> str:
    """Return a command of tftune's as a shell takes it, names with spaces in quotes."""
    return shlex.join(["tftune", *map(str, words)])


def import_tensorflow_quietly() -> None:
    """Import TensorFlow without the lines its C++ parts print about this machine.

    They go to the process's standard error before any logging setting can reach them. If the import
    fails they are printed, since they may say why.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with captured_stderr() as text:
        import tensorflow as tf

        tf.config.list_physical_devices()
    if os.environ.get("TFTUNE_DEBUG"):
        sys.stderr.write(text())


@contextlib.contextmanager
def native_output_hidden() -> Iterator[None]:
    """Hide what TensorFlow's converter prints from C++; show it if the block raises."""
    with captured_stderr():
        yield
