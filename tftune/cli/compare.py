"""`tftune compare`: runs side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tftune.cli.arguments import Json


def command(
    runs: Annotated[list[Path], typer.Argument(help="Two or more run directories.")],
    as_json: Json = False,
) -> None:
    """Say what differs between RUNS, which is best, and whether that is certain."""
    from tftune.reports.compare_runs import compare_runs

    compared = compare_runs(runs)
    print(json.dumps(compared.to_json(), indent=2) if as_json else compared)
