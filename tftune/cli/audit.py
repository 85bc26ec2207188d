"""`tftune audit`: what is wrong with a folder of images, or with texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tftune.cli import console
from tftune.cli.arguments import Json, Quiet, Seed
from tftune.cli.source import Labels, Source, TextColumns, holds_texts, load_source

EXIT_SPOILED = 1


def command(
    folder: Source,
    label: Labels = None,
    text: TextColumns = None,
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
    """Say what is wrong with FOLDER, or a table: damage, copies, leaks, label errors.

    FOLDER is divided as `tftune train` divides it. Exit code 1 when something found would spoil
    training.
    """
    console.import_tensorflow_quietly()
    import tftune

    is_images = folder.is_dir() and not holds_texts(folder)
    data = folder if is_images else load_source(folder, label, seed=seed, text=text)
    report = tftune.audit(data, features=features, seed=seed, verbose=not quiet)
    if html is not None:
        report.to_html(html)
    print(json.dumps(report.to_json(), indent=2, ensure_ascii=False) if as_json else report)
    if html is not None and not as_json:
        print(f"Wrote {html}")
    if report.spoils_training:
        raise typer.Exit(EXIT_SPOILED)
