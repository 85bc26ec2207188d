"""The run's curves, drawn again as training goes on, in a notebook."""

from __future__ import annotations

import io
import sys
import time
from typing import Any

import pandas as pd

from tftune.results.training_run import plot_history

_SHARE_OF_TIME = 0.05


def in_notebook() -> bool:
    """Tell whether this runs in a notebook that shows pictures, such as Jupyter or Colab."""
    if "IPython" not in sys.modules:  # nobody has a notebook without it
        return False
    shell = sys.modules["IPython"].get_ipython()
    # A terminal's shell has no kernel.
    return shell is not None and getattr(shell, "kernel", None) is not None


class LivePlot:
    """Draws history as it grows, in one place of a notebook; elsewhere it does nothing.

    Args:
        enabled: False draws nothing.
    """

    def __init__(self, enabled: bool = True) -> None:
        self._enabled = enabled and in_notebook()
        self._rows: list[dict[str, Any]] = []
        self._handle: Any = None
        self._drawn_at = 0.0
        self._cost = 0.0

    def add(self, row: dict[str, Any]) -> None:
        """Take a row of history, and draw unless that was done a moment ago."""
        self._rows.append(row)
        if (time.perf_counter() - self._drawn_at) * _SHARE_OF_TIME >= self._cost:
            self.draw()

    def draw(self) -> None:
        """Draw what there is."""
        if not self._enabled or not self._rows:
            return
        from IPython.display import Image, display

        started = time.perf_counter()
        picture = io.BytesIO()
        # As a picture: a figure itself shows only where a notebook's own backend is set up.
        plot_history(pd.DataFrame(self._rows)).savefig(picture, format="png", dpi=80)
        image = Image(data=picture.getvalue(), format="png")
        if self._handle is None:
            self._handle = display(image, display_id=True)
        else:
            self._handle.update(image)
        self._drawn_at = time.perf_counter()
        self._cost = self._drawn_at - started
