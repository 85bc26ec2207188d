"""Figures kept on disk case by case, so that a long benchmark runs in pieces.

A benchmark asks for each case whether it was measured before, and goes on where it stopped. Figures
are JSON lines in `benchmarks/results/NAME.jsonl`; `--fresh` deletes the file and measures anew.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"
OWN_IMAGES = "a folder of class folders: your own images in the place of the benchmark's"
OWN_TEXTS = (
    "a CSV file with the columns text and label: your own texts in the place of the benchmark's"
)
_PACKAGES = ("tensorflow", "keras", "ai-edge-litert", "numpy")


class Results:
    """The figures of one benchmark.

    Args:
        name: of the file.
        minutes: after so much time no further case is begun; 0 goes on to the end.
        fresh: forget what was measured before.
        data: the reader's own, whose figures are in a file of their own.
    """

    def __init__(
        self, name: str, minutes: float = 0, fresh: bool = False, data: Path | None = None
    ) -> None:
        self.path = FOLDER / (f"{name}-{data.stem}.jsonl" if data else f"{name}.jsonl")
        self._until = time.monotonic() + minutes * 60 if minutes else float("inf")
        if fresh:
            self.path.unlink(missing_ok=True)
        self._rows = []
        if self.path.is_file():
            lines = self.path.read_text(encoding="utf-8").splitlines()
            self._rows = [json.loads(line) for line in lines]

    @property
    def in_time(self) -> bool:
        """Whether a further case may begin."""
        return time.monotonic() < self._until

    def rows(self, **case: Any) -> list[dict[str, Any]]:
        """Return the rows whose case agrees with what is given."""
        return [row for row in self._rows if case.items() <= row["case"].items()]

    def todo(self, cases: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
        """Yield the cases that were not measured yet, as long as there is time."""
        for case in cases:
            if not self.rows(**case):
                if not self.in_time:
                    print("Time is up; run the same command again to go on.", flush=True)
                    return
                yield case

    def add(self, case: dict[str, Any], figures: dict[str, Any]) -> None:
        """Keep the figures of a case, and print them."""
        row = {"case": case, "figures": figures, "on": environment()}
        self._rows.append(row)
        self.path.parent.mkdir(exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
        told = [f"{name} {value}" for name, value in case.items()]
        told += [f"{n} {v:.4g}" if isinstance(v, float) else f"{n} {v}" for n, v in figures.items()]
        print("  " + ", ".join(told), flush=True)

    def median(self, figure: str, **case: Any) -> float:
        """Return the median of a figure over the rows of a case; NaN without any."""
        values = [row["figures"][figure] for row in self.rows(**case)]
        return statistics.median(values) if values else float("nan")


def environment() -> dict[str, Any]:
    """Say what figures were measured with and on."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        **versions,
        "python": platform.python_version(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "date": datetime.date.today().isoformat(),
    }


def describe() -> str:
    """Return versions and machine as one line."""
    told = environment()
    versions = ", ".join(f"{name} {told[name]}" for name in (*_PACKAGES, "python"))
    return f"{versions}; {told['cores']} cores of {told['cpu']}"


def add_arguments(parser: argparse.ArgumentParser, data: str = "") -> None:
    """Add `--minutes` and `--fresh`.

    Args:
        parser: of the benchmark.
        data: OWN_IMAGES or OWN_TEXTS adds `--data` for such data of the reader.
    """
    if data:
        parser.add_argument("--data", type=Path, help=data)
    parser.add_argument("--minutes", type=float, default=0, help="begin no case after so long")
    parser.add_argument("--fresh", action="store_true", help="forget earlier figures")


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
