"""`tftune evaluate`: how good a model is on labelled images."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

from tftune.cli import console
from tftune.cli.arguments import Json, Model, Quiet
from tftune.cli.source import KnownSource, Reading, check_split, known_source, reads_data


@reads_data
def command(
    model: Model,
    reading: Reading,
    data: KnownSource = None,
    split: Annotated[
        str,
        typer.Option(
            help="'train', 'validation' or 'test' as `tftune train` divided DATA, or 'all'."
        ),
    ] = "test",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure MODEL on DATA: by default on the examples `tftune train` kept for testing."""
    check_split(split)
    console.import_tensorflow_quietly()
    import tftune
    from tftune.progress import Progress

    loaded = tftune.load(model)
    source, reading = known_source(data, model), reading.or_as_in(model)
    if not reading.label and len(loaded.heads) > 1:
        reading = dataclasses.replace(reading, label=[head.name for head in loaded.heads])
    chosen = reading.load_split(source, split)
    with Progress(not quiet) as progress:
        evaluation = tftune.evaluate(loaded, chosen, on_progress=progress.step("evaluate"))
    print(json.dumps(evaluation.to_json(), indent=2) if as_json else evaluation)
