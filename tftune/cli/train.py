"""`tftune train`: a folder or table of images or texts becomes a run directory with a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tftune.builders.presets import DEFAULT_PRESET
from tftune.cli import console
from tftune.cli.arguments import Json, Overwrite, Quiet
from tftune.cli.networks import build_models, reads_texts
from tftune.cli.source import Config, Reading, Source, reads_data, write_arguments
from tftune.errors import ConfigError

_MODEL = "The model"
_TRAINING = "Training: what is left out, the plan chooses"
_RUN = "The run"


@reads_data
def command(
    context: typer.Context,
    data: Source,
    reading: Reading,
    output: Annotated[
        Path | None, typer.Option(help="The run directory to write.", rich_help_panel=_RUN)
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan only.", rich_help_panel=_RUN)
    ] = False,
    plan: Annotated[
        Path | None,
        typer.Option(
            help="A plan.json to follow, such as that of a run or of --dry-run --json.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    from_scratch: Annotated[
        bool,
        typer.Option(
            "--from-scratch",
            help="Also train from random weights, to tell whether transfer helped. Slow.",
            rich_help_panel=_RUN,
        ),
    ] = False,
    encoder: Annotated[
        str,
        typer.Option(
            help="For texts: what `tftune convert-bert` wrote, a TF-Hub handle or folder, or "
            "'ngrams', which is not pretrained."
        ),
    ] = "ngrams",
    preprocessor: Annotated[
        str | None, typer.Option(help="Of a TF-Hub encoder of BERT's kind.")
    ] = None,
    backbone: Annotated[
        str, typer.Option(help="See `tftune backbones`.", rich_help_panel=_MODEL)
    ] = DEFAULT_PRESET,
    weights: Annotated[
        str,
        typer.Option(
            help="'imagenet', 'none', or a weights file of the backbone.", rich_help_panel=_MODEL
        ),
    ] = "imagenet",
    image_size: Annotated[
        str | None,
        typer.Option(
            help="Pixels, such as 224 or 180x320 (height x width); by default the backbone's own.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    head_epochs: Annotated[
        int | None, typer.Option(min=0, help="Of the head alone.", rich_help_panel=_TRAINING)
    ] = None,
    fine_tune_epochs: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Of the top stages; 0 trains the head alone.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    unfreeze: Annotated[
        str | None,
        typer.Option(
            help="'none', 'all', a number of top stages, or a stage's name.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    head_rate: Annotated[
        float | None,
        typer.Option(help="Peak learning rate of the head alone.", rich_help_panel=_TRAINING),
    ] = None,
    fine_tune_rate: Annotated[
        float | None,
        typer.Option(help="Peak learning rate with the stages.", rich_help_panel=_TRAINING),
    ] = None,
    batch_size: Annotated[
        str | None, typer.Option(help="Images a step, or 'auto'.", rich_help_panel=_TRAINING)
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(help="Such as 'adamw', 'sgd' or 'lion'.", rich_help_panel=_TRAINING),
    ] = None,
    augment: Annotated[
        str | None,
        typer.Option(help="'none', 'light', 'medium' or 'strong'.", rich_help_panel=_TRAINING),
    ] = None,
    views: Annotated[
        int | None,
        typer.Option(
            help="Versions of each image that epochs go through; 0 draws new ones in every epoch.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    imbalance: Annotated[
        str | None,
        typer.Option(
            help="For rare classes: 'class_weights', 'oversample', 'focal' or 'none'.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    cache: Annotated[
        str | None,
        typer.Option(help="'disk' or 'off'.", rich_help_panel=_TRAINING),
    ] = None,
    config: Config = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fine-tune a backbone or text encoder on DATA in two phases and write a run directory."""
    wanted = {
        "head_epochs": head_epochs,
        "fine_tune_epochs": fine_tune_epochs,
        "unfreeze": _number_or_name(unfreeze),
        "head_rate": head_rate,
        "fine_tune_rate": fine_tune_rate,
        "batch_size": _number_or_name(batch_size),
        "augment": augment,
        "views": views,
        "imbalance": imbalance,
        "cache": cache,
    }
    chosen = {name: value for name, value in wanted.items() if value is not None}
    _check(output, dry_run, plan, [*chosen, *(["optimizer"] if optimizer else [])])
    size = _height_and_width(image_size)
    console.import_tensorflow_quietly()
    import tftune
    from tftune.reports.run_report import write_report
    from tftune.training.estimate import estimate_costs
    from tftune.training.run_directory import check_output

    check_output(output, overwrite)
    dataset = reading.load(data)
    (model,) = build_models(
        dataset,
        backbones=[backbone],
        encoders=[encoder],
        weights=weights,
        preprocessor=preprocessor,
        image_size=size,
    )
    if plan is not None:
        planned = tftune.Plan.load(plan)
        planned = planned.replace(costs=estimate_costs(model, dataset, planned))
    else:
        planned = tftune.plan(model, dataset, seed=reading.chosen_seed, **chosen)
    if optimizer is not None:
        phases = tuple(phase.replace(optimizer=optimizer) for phase in planned.phases)
        planned = planned.replace(phases=phases)
    if dry_run:
        print(json.dumps(planned.to_json(), indent=2) if as_json else planned)
        return
    if not quiet and not as_json:
        print(f"{dataset}\n\n{planned}\n")
    run = tftune.fine_tune(
        model,
        dataset,
        planned,
        output=output,
        overwrite=overwrite,
        verbose=not quiet,
        from_scratch=from_scratch or None,
    )
    assert output is not None
    write_arguments(context, output)
    write_report(output)
    if as_json:
        told = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
        print(json.dumps({"output": str(output), **told}, indent=2))
    else:
        thing = '"TEXT"' if reads_texts(dataset) else "IMAGE"
        phone = (f"{output.name}.tflite", "--verify", data)
        print(f"{run.verdict}\nWrote {output}. Try next:")
        print(f"  {console.as_command('evaluate', output)}")
        print(f"  {console.as_command('predict', output)} {thing}")
        print(f"  {console.as_command('export', output, *phone)}")


def _check(output: Path | None, dry_run: bool, plan: Path | None, chosen: list[str]) -> None:
    """Refuse options that do not go together, before anything is loaded."""
    if output is None and not dry_run:
        raise ConfigError("`--output` must name the run directory to write, unless --dry-run.")
    if plan is not None and chosen:
        told = ", ".join(f"--{name.replace('_', '-')}" for name in chosen)
        raise ConfigError(
            f"`--plan` says how to train, so it does not go with other options that do. Received: "
            f"{told}. Change {str(plan)!r}, or leave one out."
        )


def _number_or_name(text: str | None) -> Any:
    """Read "2" as a number of stages and "0.3" as a share; anything else is a name."""
    if text is None:
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _height_and_width(text: str | None) -> tuple[int, int] | None:
    """Read "224" as a square and "180x320" as height by width."""
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.strip().isdigit() for side in sides):
        raise ConfigError(
            f"`--image-size` must be pixels such as 224, or 180x320 for height x width. "
            f"Received: {text!r}."
        )
    return int(sides[0]), int(sides[-1])
