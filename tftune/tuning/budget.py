"""How long a search may take."""

from __future__ import annotations

import re
import time

from tftune.errors import ConfigError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_of(budget: str | float | None) -> float:
    """Read a length of time: "90s", "10m", "1.5h", a number of seconds, or None for any.

    Raises:
        ConfigError: if it is none of these or not above 0.
    """
    if budget is None:
        return float("inf")
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", str(budget))
    seconds = float(found[1]) * _SECONDS[found[2] or "s"] if found else 0.0
    if not seconds > 0:
        raise ConfigError(
            "`budget` must be a length of time such as '90s', '10m' or '1.5h'. "
            f"Received: {budget!r}."
        )
    return seconds


class Clock:
    """Tells when a stretch of work should begin nothing more.

    Args:
        seconds: how long the stretch may be.
    """

    def __init__(self, seconds: float) -> None:
        self._began = time.monotonic()
        self._seconds = seconds

    @property
    def spent(self) -> float:
        """Seconds since the clock was made."""
        return time.monotonic() - self._began

    @property
    def left(self) -> float:
        """Seconds until the end; below 0 after it."""
        return self._seconds - self.spent

    def is_over(self) -> bool:
        """Tell whether the end has come."""
        return self.left <= 0
