"""`tftune doctor`: will a phone run this file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tftune.cli.arguments import Json


def command(
    file: Annotated[Path, typer.Argument(help="Any .tflite file, made by tftune or not.")],
    as_json: Json = False,
) -> None:
    """Check FILE against what MediaPipe Tasks and LiteRT demand. Exit code 1 if it fails."""
    from tftune.exporters.doctor import diagnose

    diagnosis = diagnose(file)
    print(json.dumps(diagnosis.to_json(), indent=2) if as_json else diagnosis)
    if not diagnosis.healthy:
        raise typer.Exit(1)
