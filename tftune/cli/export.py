"""`tftune export`: a model for TF Serving or for phones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tftune.cli import console
from tftune.cli.arguments import Json, Model, Overwrite
from tftune.cli.source import Reading, reads_data
from tftune.errors import ConfigError, did_you_mean

_OTHER_FILES = (".keras", ".h5", ".onnx", ".pb", ".pt", ".lite", ".zip")


@reads_data
def command(
    model: Model,
    output: Annotated[
        Path,
        typer.Argument(help="NAME.tflite for phones; any other name is a SavedModel's folder."),
    ],
    reading: Reading,
    quantize: Annotated[
        str,
        typer.Option(help="For .tflite: 'none', 'float16', 'dynamic', 'int8', 'mixed' or 'auto'."),
    ] = "none",
    verify: Annotated[
        Path | None,
        typer.Option(
            help="A folder or table as for `train`; its validation examples are compared."
        ),
    ] = None,
    max_drop: Annotated[
        float, typer.Option(min=0, max=1, help="The largest loss of accuracy allowed a .tflite.")
    ] = 0.02,
    allow_drop: Annotated[
        bool, typer.Option("--allow-drop", help="Write it past its budget all the same.")
    ] = False,
    bundle: Annotated[
        bool,
        typer.Option("--bundle", help="With a SavedModel: warm-up, server settings and clients."),
    ] = False,
    weights_dtype: Annotated[
        str,
        typer.Option(help="Of a SavedModel's large weights: 'float32', 'float16' or 'bfloat16'."),
    ] = "float32",
    frozen: Annotated[
        bool, typer.Option("--frozen", help="With a SavedModel: weights inside the graph.")
    ] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write MODEL as a SavedModel for TF Serving, or as .tflite for phones."""
    _check_name(output)
    console.import_tensorflow_quietly()
    import tftune

    loaded = tftune.load(model)
    data = reading.or_as_in(model).load(verify) if verify else None
    held_out = data.validation if data else None
    if output.suffix == ".tflite":
        with console.native_output_hidden():
            export = tftune.export_tflite(
                loaded,
                output,
                quantize=quantize,
                verify=held_out,
                calibration=data.train if data else None,
                max_drop=max_drop,
                allow_drop=allow_drop,
                overwrite=overwrite,
            )
    else:
        export = tftune.export_saved_model(
            loaded,
            output,
            verify=held_out,
            allow_drop=allow_drop,
            bundle=bundle,
            weights_dtype=weights_dtype,
            frozen=frozen,
        )
    print(json.dumps(export.to_json(), indent=2, ensure_ascii=False) if as_json else export)


def _check_name(output: Path) -> None:
    """Refuse a file name of another kind, which would become a folder called so."""
    suffix = output.suffix.lower()
    if suffix != ".tflite" and (suffix in _OTHER_FILES or did_you_mean(suffix, [".tflite"])):
        raise ConfigError(
            f"OUTPUT must end in .tflite, or be the name of a SavedModel's folder. Received: "
            f"{str(output)!r}. Did you mean {str(output.with_suffix('.tflite'))!r}?"
        )
