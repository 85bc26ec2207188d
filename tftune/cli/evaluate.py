"""`tftune evaluate`: how good a model is on a folder."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from tftune.cli import console
from tftune.cli.arguments import Folder, Json, Model, Quiet, Seed
from tftune.cli.split_choice import check_split, load_split


def command(
    model: Model,
    folder: Folder,
    split: Annotated[
        str,
        typer.Option(
            help="'train', 'validation' or 'test' as `tftune train` divided FOLDER, or 'all'."
        ),
    ] = "test",
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure MODEL on FOLDER: by default on the images `tftune train` kept for testing."""
    check_split(split)
    console.import_tensorflow_quietly()
    import tftune
    from tftune.progress import Progress

    loaded = tftune.load(model)
    chosen = load_split(folder, split, seed)
    with Progress(not quiet) as progress:
        evaluation = tftune.evaluate(loaded, chosen, on_progress=progress.step("evaluate"))
    print(json.dumps(evaluation.to_json(), indent=2) if as_json else evaluation)
