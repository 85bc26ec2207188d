"""`tftune verify`: does an export still give the right answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tftune.cli import console
from tftune.cli.arguments import Json
from tftune.cli.source import Reading, check_split, reads_data


@reads_data
def command(
    export: Annotated[
        Path, typer.Argument(help="A .tflite file, or a SavedModel's folder (highest version).")
    ],
    data: Annotated[Path, typer.Option(help="A folder or table as for `train`.")],
    reading: Reading,
    model: Annotated[
        Path | None, typer.Option(help="A .keras file or run directory to compare with.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="'train', 'validation' or 'test' of it, or 'all'.")
    ] = "test",
    resize: Annotated[
        str,
        typer.Option(help="How images reach the size of a .tflite file that tftune did not write."),
    ] = "bilinear",
    as_json: Json = False,
) -> None:
    """Run EXPORT in its real runtime on labelled images or texts. Exit code 1 if it fails."""
    check_split(split)
    console.import_tensorflow_quietly()
    import tftune
    from tftune.exporters.verify import verify_export

    if model is not None:
        reading = reading.or_as_in(model)
    chosen = reading.load_split(data, split)
    loaded = tftune.load(model) if model else None
    with console.native_output_hidden():
        verification = verify_export(export, chosen, loaded, resize)
    print(json.dumps(verification.to_json(), indent=2) if as_json else verification)
    if not verification.passed:
        raise typer.Exit(1)
