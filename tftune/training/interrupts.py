"""Ctrl-C that is never lost."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import keras


class Interrupts(keras.callbacks.Callback):
    """Raises KeyboardInterrupt at the next batch if one was asked for and did not arrive.

    While TensorFlow traces a function, Python code runs inside its C++ code, which may swallow the
    exception that Ctrl-C raises there. The signal itself is noted first, so that training stops at
    the next batch at the latest.
    """

    def __init__(self) -> None:
        super().__init__()
        self._asked = False

    @contextlib.contextmanager
    def noted(self) -> Iterator[Interrupts]:
        """Note every Ctrl-C while the block runs.

        Only Python's main thread may do so; in any other, and where someone handles Ctrl-C in their
        own way, the block runs as it is.
        """
        usual = signal.default_int_handler
        in_main = threading.current_thread() is threading.main_thread()
        if not in_main or signal.getsignal(signal.SIGINT) is not usual:
            yield self
            return

        def note(number: int, frame: FrameType | None) -> None:
            self._asked = True
            usual(number, frame)

        signal.signal(signal.SIGINT, note)
        try:
            yield self
            self.check()  # one that came after the last batch
        finally:
            signal.signal(signal.SIGINT, usual)

    def check(self) -> None:
        """Raise KeyboardInterrupt if it was asked for and did not arrive."""
        if self._asked:
            self._asked = False
            raise KeyboardInterrupt

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Stop before the next batch."""
        self.check()

    def on_test_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Stop before the next batch."""
        self.check()
