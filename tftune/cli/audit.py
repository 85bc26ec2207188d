"""`tftune audit`: what is wrong with a folder of images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tftune.cli import console
from tftune.cli.arguments import Folder, Json, Quiet, Seed

EXIT_SPOILED = 1


def command(
    folder: Folder,
    html: Annotated[
        Path | None, typer.Option(help="Also write a page with thumbnails to this file.")
    ] = None,
    features: Annotated[
        bool,
        typer.Option(
            "--features/--no-features",
            help="Look for outliers and label errors with the default backbone.",
        ),
    ] = True,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say what is wrong with FOLDER: damaged files, copies, leaks between splits, label errors.

    FOLDER is divided as `tftune train` divides it. Exit code 1 when something found would spoil
    training.
    """
    console.import_tensorflow_quietly()
    import tftune

    report = tftune.audit(folder, features=features, seed=seed, verbose=not quiet)
    if html is not None:
        report.to_html(html)
    print(json.dumps(report.to_json(), indent=2, ensure_ascii=False) if as_json else report)
    if html is not None and not as_json:
        print(f"Wrote {html}")
    if report.spoils_training:
        raise typer.Exit(EXIT_SPOILED)
