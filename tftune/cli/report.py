"""`tftune report`: a run as a page to show around."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    output: Annotated[
        Path | None, typer.Option(help="The file to write; report.html in RUN by default.")
    ] = None,
) -> None:
    """Write RUN's report, one HTML page that needs no network."""
    from tftune.reports.run_report import write_report

    print(f"Wrote {write_report(run, output)}")
