"""Progress of long work: bars on a terminal, a line a step where output is piped, or silence."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

import rich.console
import rich.progress
import rich.text

from tftune.display import show_seconds


class Progress:
    """Shows how far each step of long work is. Writes to standard error.

    Args:
        enabled: False shows nothing at all.
    """

    def __init__(self, enabled: bool = True) -> None:
        console = rich.console.Console(file=sys.stderr)
        # FORCE_COLOR, which CI services set, makes rich take a pipe for a terminal.
        terminal = console.is_terminal and sys.stderr.isatty()
        self._live = enabled and terminal
        self._lines = enabled and not terminal
        self._console = console
        self._bars = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(bar_width=24),
            rich.progress.MofNCompleteColumn(),
            _Remaining(compact=True, elapsed_when_finished=True),
            rich.progress.TextColumn("{task.fields[note]}", style="dim"),
            console=console,
            disable=not self._live,
        )
        self._outlook: Outlook | None = None
        self._whole: Any = None

    def expect(self, seconds: Mapping[str, float]) -> None:
        """Say what is ahead, so that the time remaining over all of it can be shown.

        Args:
            seconds: how long each step is expected to take, by its description, in order; empty
                where nothing is known.
        """
        self._outlook = Outlook(seconds) if seconds else None
        if self._outlook is not None and self._live:
            self._whole = self._bars.add_task("in all", total=100, note="", left="")

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    def step(self, description: str) -> Step:
        """Announce a step of the work; call the result with (done, total) as it goes on."""
        return Step(self, description)

    def _left(self, step: str, done: int, total: int) -> str:
        if self._outlook is None:
            return ""
        self._outlook.told(step, done, total, time.monotonic())
        left = self._outlook.remaining
        return f"{show_seconds(left)} left in all" if left else ""

    def _show_whole(self, left: str) -> None:
        if self._outlook is not None:
            share = round(100 * self._outlook.share)
            self._bars.update(self._whole, completed=share, left=left.removesuffix(" in all"))

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
        left = self._progress._left(self._description, done, total)
        if self._progress._live:
            if self._task is None:
                self._task = bars.add_task(self._description, total=total, note=note)
            bars.update(self._task, completed=done, total=total, note=note)
            self._progress._show_whole(left)
        elif self._progress._lines and done >= total:
            line = f"{self._description}: {done}/{total}"
            line = f"{line}  {note}" if note else line
            print(f"{line}  ({left})" if left else line, file=sys.stderr, flush=True)


class _Remaining(rich.progress.TimeRemainingColumn):
    """The time a step needs at its pace, or what its task says is left."""

    def render(self, task: rich.progress.Task) -> rich.text.Text:
        if "left" in task.fields:
            return rich.text.Text(task.fields["left"], style="progress.remaining")
        return super().render(task)


class Outlook:
    """The time remaining over all steps: expected beforehand, corrected by how fast they go.

    Args:
        seconds: how long each step is expected to take, in order.
    """

    def __init__(self, seconds: Mapping[str, float]) -> None:
        self._expected = dict(seconds)
        self._began: dict[str, tuple[float, float]] = {}
        self._taken: dict[str, float] = {}
        self._share: dict[str, float] = {}

    def told(self, step: str, done: int, total: int, now: float) -> None:
        """Take note of how far a step is, at a time in seconds on any clock."""
        share = done / total if total else 1.0
        began, share_then = self._began.setdefault(step, (now, share))
        self._taken[step] = now - began
        self._share[step] = share
        if share > share_then:
            # The first call comes after some of the work; what follows tells its pace.
            self._expected[step] = self._taken[step] / (share - share_then)

    @property
    def share(self) -> float:
        """How much of all the time has gone by, in [0, 1]."""
        total = sum(self._expected.values())
        return 1 - self.remaining / total if total else 1.0

    @property
    def remaining(self) -> float:
        """Seconds that remain over all steps; a step that was passed over takes none."""
        names = list(self._expected)
        begun = [names.index(step) for step in self._share if step in names]
        latest = max(begun, default=-1)
        left = 0.0
        for place, name in enumerate(names):
            if place >= latest:
                left += self._expected[name] * (1 - self._share.get(name, 0.0))
        return left
