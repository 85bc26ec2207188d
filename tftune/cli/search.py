"""`tftune search`: labelled images or texts become trials, a plan and a trained model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tftune.builders.presets import DEFAULT_PRESET
from tftune.cli import console
from tftune.cli.arguments import Json, Overwrite, Quiet
from tftune.cli.networks import build_models
from tftune.cli.source import Config, Reading, Source, reads_data, write_arguments

_SEVERAL = "give it several times to choose among several."


@reads_data
def command(
    context: typer.Context,
    data: Source,
    reading: Reading,
    output: Annotated[
        Path, typer.Option(help="The folder of the search; after a kill it goes on there.")
    ],
    trials: Annotated[int, typer.Option(min=1, help="How many trials.")] = 30,
    fine_tune_trials: Annotated[
        int | None,
        typer.Option(min=0, help="How many trials then fine-tune; by default a tenth."),
    ] = None,
    oracle: Annotated[
        str, typer.Option(help="'random', 'grid', 'bayesian' or 'hyperband'.")
    ] = "bayesian",
    objective: Annotated[
        str | None,
        typer.Option(
            help="'accuracy', 'macro_f1' or 'loss' on validation; of one of several heads "
            "'HEAD_accuracy'."
        ),
    ] = None,
    space: Annotated[
        Path | None,
        typer.Option(help="A JSON file that `SearchSpace.to_json` gave; by default one to suit."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="How long trials may take: '90s', '10m', '1.5h'.")
    ] = None,
    folds: Annotated[
        int | None, typer.Option(min=2, help="Compare by cross-validation in so many folds.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that run trials side by side.")
    ] = 1,
    backbone: Annotated[
        list[str] | None,
        typer.Option(help=f"For images: see `tftune backbones`; {_SEVERAL}"),
    ] = None,
    weights: Annotated[
        str, typer.Option(help="'imagenet', 'none', or a weights file of the backbone.")
    ] = "imagenet",
    encoder: Annotated[
        list[str] | None,
        typer.Option(help=f"For texts: as `tftune train` takes it; {_SEVERAL}"),
    ] = None,
    preprocessor: Annotated[
        str | None, typer.Option(help="Of a TF-Hub encoder of BERT's kind.")
    ] = None,
    config: Config = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Search for the settings that suit DATA and train a model by the best of them.

    On several machines that see DATA and the output folder under the same paths, start this very
    command once as the chief and as often as you like as a worker, by environment variables:
    KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT say where the chief listens,
    KERASTUNER_TUNER_ID is "chief" or a name of the worker's own. The chief runs no trials. A worker
    that died is to be started again under its name, since its trial waits for it.
    """
    console.import_tensorflow_quietly()
    import tftune
    from tftune.tuning.cluster import WORKER, cluster_role
    from tftune.tuning.worker import work_in

    if cluster_role() == WORKER:
        count = work_in(output)
        if not quiet:
            print(f"This worker ran {count} trial(s). The chief tells what was found.")
        return
    dataset = reading.load(data)
    models = build_models(
        dataset,
        backbones=backbone or [DEFAULT_PRESET],
        encoders=encoder or ["ngrams"],
        weights=weights,
        preprocessor=preprocessor,
    )
    limits = None
    if space is not None:
        limits = tftune.SearchSpace.load(space)
    found = tftune.search(
        models,
        dataset,
        trials=trials,
        fine_tune_trials=fine_tune_trials,
        oracle=oracle,
        space=limits,
        objective=objective,
        budget=budget,
        folds=folds,
        workers=workers,
        seed=reading.chosen_seed,
        output=output,
        overwrite=overwrite,
        verbose=not (quiet or as_json),
    )
    write_arguments(context, output)
    if as_json:
        print(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
        return
    print(f"{found}\nWrote {output}. Try: {console.as_command('evaluate', output)}")
