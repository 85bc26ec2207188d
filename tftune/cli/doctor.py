"""`tftune doctor`: will a phone run this file; does this installation work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tftune.cli import console
from tftune.cli.arguments import Json


def command(
    file: Annotated[
        Path | None,
        typer.Argument(help="Any .tflite file, made by tftune or not. Absent: the installation."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check FILE against what MediaPipe Tasks and LiteRT demand, or this installation.

    Without FILE it looks at versions, devices, weights and folders, and says what would fail and
    how to mend it. Exit code 1 if there is an error.
    """
    if file is None:
        from tftune.cli.installation import diagnose_installation

        with console.native_output_hidden():
            diagnosis = diagnose_installation()
    else:
        from tftune.exporters.doctor import diagnose

        diagnosis = diagnose(file)
    print(json.dumps(diagnosis.to_json(), indent=2) if as_json else diagnosis)
    if not diagnosis.healthy:
        raise typer.Exit(1)
