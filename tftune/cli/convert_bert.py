"""`tftune convert-bert`: a BERT checkpoint becomes a TF-Hub preprocessor and encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tftune.cli import console
from tftune.cli.arguments import Overwrite


def command(
    path: Annotated[
        Path,
        typer.Argument(help="A folder with config.json, vocab.txt and model.safetensors."),
    ],
    out: Annotated[Path, typer.Argument(help="The folder to write.")],
    pooling: Annotated[
        str | None,
        typer.Option(help="'mean', 'max', 'cls' or 'pooler'; what the checkpoint says if absent."),
    ] = None,
    sequence_length: Annotated[
        int | None,
        typer.Option(
            min=3, help="Tokens that the preprocessor pads and cuts texts to; 128 or less."
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Convert the BERT checkpoint in PATH to a TF-Hub pair in OUT."""
    console.import_tensorflow_quietly()
    import tftune

    with console.native_output_hidden():
        tftune.convert_bert(
            path, out, pooling=pooling, sequence_length=sequence_length, overwrite=overwrite
        )
    print(f"Wrote {out / 'preprocessor'} and {out / 'encoder'}.")
