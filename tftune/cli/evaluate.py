"""`tftune evaluate`: how good a model is on labelled images."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from tftune.cli import console
from tftune.cli.arguments import Json, Model, Quiet, Seed
from tftune.cli.source import (
    ImageColumn,
    Labels,
    Source,
    SplitColumn,
    TextColumns,
    check_split,
    load_split,
)


def command(
    model: Model,
    data: Source,
    split: Annotated[
        str,
        typer.Option(
            help="'train', 'validation' or 'test' as `tftune train` divided DATA, or 'all'."
        ),
    ] = "test",
    label: Labels = None,
    image: ImageColumn = "path",
    text: TextColumns = None,
    split_column: SplitColumn = None,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure MODEL on DATA: by default on the images `tftune train` kept for testing."""
    check_split(split)
    console.import_tensorflow_quietly()
    import tftune
    from tftune.progress import Progress

    loaded = tftune.load(model)
    heads = [head.name for head in loaded.heads]
    labels = label or (heads if len(heads) > 1 else None)
    chosen = load_split(data, split, labels, image, split_column, seed=seed, text=text)
    with Progress(not quiet) as progress:
        evaluation = tftune.evaluate(loaded, chosen, on_progress=progress.step("evaluate"))
    print(json.dumps(evaluation.to_json(), indent=2) if as_json else evaluation)
