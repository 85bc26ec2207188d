"""`tftune benchmark`: what a .tflite file costs here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tftune.cli.arguments import Json


def command(
    file: Annotated[Path, typer.Argument(help="A .tflite file.")],
    repeats: Annotated[int, typer.Option(min=1, help="Timed runs a number of threads.")] = 50,
    as_json: Json = False,
) -> None:
    """Measure latency, memory and size of FILE in LiteRT, with 1 thread up to all cores."""
    from tftune.exporters.runtime_benchmark import benchmark_tflite

    measured = benchmark_tflite(file, repeats=repeats)
    print(json.dumps(measured.to_json(), indent=2) if as_json else measured)
