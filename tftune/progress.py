"""Progress of long work: bars on a terminal, a line a step where output is piped, or silence."""

from __future__ import annotations

import sys
from typing import Any

import rich.console
import rich.progress


class Progress:
    """Shows how far each step of long work is. Writes to standard error.

    Args:
        enabled: False shows nothing at all.
    """

    def __init__(self, enabled: bool = True) -> None:
        console = rich.console.Console(file=sys.stderr)
        self._live = enabled and console.is_terminal
        self._lines = enabled and not console.is_terminal
        self._console = console
        self._bars = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(bar_width=24),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            rich.progress.TextColumn("{task.fields[note]}", style="dim"),
            console=console,
            disable=not self._live,
        )

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    def step(self, description: str) -> Step:
        """Announce a step of the work; call the result with (done, total) as it goes on."""
        return Step(self, description)

    def say(self, sentence: str) -> None:
        """Write a sentence, unless silent."""
        if self._live or self._lines:
            self._console.print(sentence, soft_wrap=True, highlight=False, markup=False)


class Step:
    """One step of long work; a callable that takes (done, total, note)."""

    def __init__(self, progress: Progress, description: str) -> None:
        self._progress = progress
        self._description = description
        self._task: Any = None

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Show that `done` of `total` is done; `note` is shown behind it."""
        bars = self._progress._bars
        if self._progress._live:
            if self._task is None:
                self._task = bars.add_task(self._description, total=total, note=note)
            bars.update(self._task, completed=done, total=total, note=note)
        elif self._progress._lines and done >= total:
            line = f"{self._description}: {done}/{total}"
            print(f"{line}  {note}" if note else line, file=sys.stderr, flush=True)
