"""`tftune audit`: what is wrong with a folder of images, or with texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tftune.cli import console
from tftune.cli.arguments import Json, Quiet
from tftune.cli.source import Reading, Source, holds_texts, reads_data

EXIT_SPOILED = 1


@reads_data
def command(
    data: Source,
    reading: Reading,
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
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say what is wrong with DATA: damage, copies, leaks, label errors.

    DATA is divided as `tftune train` divides it. Exit code 1 when something found would spoil
    training.
    """
    console.import_tensorflow_quietly()
    import tftune

    # A folder of images is audited as it lies there, damaged files included.
    is_images = data.is_dir() and not holds_texts(data)
    report = tftune.audit(
        data if is_images else reading.load(data),
        features=features,
        seed=reading.chosen_seed,
        verbose=not quiet,
    )
    if html is not None:
        report.to_html(html)
    print(json.dumps(report.to_json(), indent=2, ensure_ascii=False) if as_json else report)
    if html is not None and not as_json:
        print(f"Wrote {html}")
    if report.spoils_training:
        raise typer.Exit(EXIT_SPOILED)
