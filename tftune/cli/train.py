"""`tftune train`: a folder or table of images becomes a run directory with a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tftune.builders.presets import DEFAULT_PRESET
from tftune.cli import console
from tftune.cli.arguments import Overwrite, Quiet, Seed
from tftune.cli.source import (
    GroupColumn,
    ImageColumn,
    Labels,
    Source,
    SplitColumn,
    load_source,
)


def command(
    data: Source,
    output: Annotated[Path, typer.Option(help="The run directory to write.")],
    backbone: Annotated[str, typer.Option(help="See `tftune backbones`.")] = DEFAULT_PRESET,
    weights: Annotated[
        str, typer.Option(help="'imagenet', 'none', or a weights file of the backbone.")
    ] = "imagenet",
    head_epochs: Annotated[int, typer.Option(min=0, help="Epochs of the head alone.")] = 20,
    fine_tune_epochs: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Epochs of the top stages; 0 trains the head alone. By default 4 to 16 by the "
            "number of images.",
        ),
    ] = None,
    label: Labels = None,
    image: ImageColumn = "path",
    split_column: SplitColumn = None,
    group: GroupColumn = None,
    unfreeze: Annotated[
        str | None,
        typer.Option(help="'none', 'all', a number of top stages, or a stage's name."),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images a step.")] = 32,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Fine-tune a backbone on DATA in two phases and write a run directory."""
    console.import_tensorflow_quietly()
    import tftune
    from tftune.reports.run_report import write_report
    from tftune.training.run_directory import check_output

    check_output(output, overwrite)
    dataset = load_source(data, label, image, split_column, group, seed=seed)
    chosen = None if weights.lower() == "none" else weights
    model = tftune.build_image_classifier(backbone, dataset, weights=chosen)
    plan = tftune.plan(
        model,
        dataset,
        head_epochs=head_epochs,
        fine_tune_epochs=fine_tune_epochs,
        unfreeze=_number_or_name(unfreeze),
        batch_size=batch_size,
        seed=seed,
    )
    if not quiet:
        print(f"{dataset}\n\n{plan}\n")
    run = tftune.fine_tune(
        model, dataset, plan, output=output, overwrite=overwrite, verbose=not quiet
    )
    write_report(output)
    print(f"{run.verdict}\nWrote {output}. Try: tftune predict {output} IMAGE")


def _number_or_name(text: str | None) -> str | int | float | None:
    """Read "2" as a number of stages and "0.3" as a share; anything else is a name."""
    if text is None:
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
