"""`tftune demo`: the whole journey on real data that needs no download."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from tftune.atomic import replaced_folder
from tftune.builders.presets import DEFAULT_PRESET
from tftune.cli import console
from tftune.cli.arguments import Json, Overwrite, Quiet
from tftune.cli.source import note_command
from tftune.data.samples import write_digits
from tftune.errors import OutputExistsError

# Scanned digits are far from the photographs the backbone has seen, so more of it is retrained, and
# for longer, than a plan for photographs would.
_PLAN: dict[str, Any] = {"unfreeze": "block6", "fine_tune_epochs": 10, "batch_size": 16}


def command(
    output: Annotated[Path, typer.Option(help="The folder to write.")] = Path("tftune-demo"),
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fine-tune on real handwritten digits, evaluate, and export twice. Needs no network."""
    started = time.perf_counter()
    _check_output(output, overwrite)
    console.import_tensorflow_quietly()
    import tftune
    from tftune.evaluation.record import thumbnails
    from tftune.progress import Progress
    from tftune.reports.model_card import write_model_card
    from tftune.reports.run_report import write_report

    with replaced_folder(output, overwrite=overwrite) as folder:
        images = folder / "digits"
        write_digits(images)
        data = tftune.load_image_folder(images)
        model = tftune.build_image_classifier(DEFAULT_PRESET, data)
        plan = tftune.plan(model, data, **_PLAN)
        if not quiet and not as_json:
            print(f"{data}\n\n{plan}\n")
        run = tftune.fine_tune(model, data, plan, output=folder / "run", verbose=not quiet)
        # As `tftune train` notes it, under the name that the folder is about to get.
        arguments = {"data": output / "digits", "backbone": DEFAULT_PRESET, **_PLAN}
        note_command(folder / "run", "train", arguments)
        with Progress(not quiet) as progress:
            evaluation = tftune.evaluate(model, data.test, on_progress=progress.step("evaluate"))
        with console.native_output_hidden():
            served = tftune.export_saved_model(
                model, folder / "saved_models" / "digits", verify=data.validation
            )
            phone = tftune.export_tflite(
                model, folder / "saved_models" / "digits.tflite", verify=data.validation
            )
        assert evaluation.predictions is not None
        write_report(
            folder / "run",
            test=evaluation,
            thumbnails=thumbnails(data.test, evaluation.predictions),
            exports=[served.path, phone.path],
        )
        write_model_card(folder / "run", test=evaluation)
        example = str(Path(data.test.examples.names[0]).relative_to(folder))
        exports = {str(Path(made.path).relative_to(folder)): made for made in (served, phone)}
    seconds = time.perf_counter() - started
    if as_json:
        told = {
            "output": str(output),
            "run": str(output / "run"),
            "seconds": seconds,
            "verdict": run.verdict.to_json(),
            "evaluation": evaluation.to_json(),
            "exports": [
                dataclasses.replace(made, path=str(output / name)).to_json()
                for name, made in exports.items()
            ],
        }
        print(json.dumps(told, indent=2))
        return
    print(f"{evaluation}\n")
    print(f"{run.verdict}\n")
    print(f"Done in {seconds:.0f} s. Made in {output}/:")
    print(f"  digits/                     {len(data.train)} training images and the held-out ones")
    print(
        f"  run/                        the model; test accuracy {evaluation.intervals['accuracy']}"
    )
    print("  run/report.html             all of it as a page; run/model_card.md is its model card")
    for name, made in exports.items():
        assert made.certificate is not None
        print(
            f"  {name:<27} same answers as Keras on {made.certificate.num_examples} images "
            f"(largest difference {made.certificate.max_difference:.0e})"
        )
    print("\nTry next:")
    print(f"  {console.as_command('predict', output / 'run', output / example)}")
    print(f"  {console.as_command('evaluate', output / 'run')}")
    print("  tftune train YOUR_FOLDER --output runs/first   (one folder of images a class)")


def _check_output(output: Path, overwrite: bool) -> None:
    if not output.exists():
        return
    if not overwrite:
        raise OutputExistsError(
            f"{str(output)!r} exists. Add --overwrite to replace it, or name another folder with "
            "--output."
        )
    if not (output / "digits").is_dir():
        raise OutputExistsError(
            f"{str(output)!r} was not made by this demo, so it is not overwritten. Name another "
            "folder with --output."
        )
