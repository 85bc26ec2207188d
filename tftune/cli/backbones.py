"""`tftune backbones`: what a model can be built on."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

from tftune.builders.presets import DEFAULT_PRESET, Preset, sorted_presets
from tftune.cli.arguments import Json
from tftune.display import Table, as_text

_COLUMNS = ("backbone", "params", "pixels", "GFLOPs", "top-1", "int8", "preprocessing")
_INT8 = {True: "yes", False: "no", None: "?"}


def command(
    sort: Annotated[
        str, typer.Option(help="size (smallest first), accuracy (best first) or speed.")
    ] = "size",
    as_json: Json = False,
) -> None:
    """List the backbones a model can be built on."""
    presets = sorted_presets(sort)
    if as_json:
        print(json.dumps([dataclasses.asdict(preset) for preset in presets], indent=2))
        return
    print(as_text([Table(_COLUMNS, [_row(preset) for preset in presets])]))
    print(
        f"\nThe default is {DEFAULT_PRESET}, whose weights are installed; Keras downloads\n"
        "the others on first use. top-1: ImageNet accuracy. int8: keeps its accuracy in\n"
        "full 8-bit integers (?: not known). Every built model takes raw pixels: its\n"
        "preprocessing is the network's own (inside) or added in front. Sources: --json."
    )


def _row(preset: Preset) -> tuple[str, ...]:
    return (
        preset.name,
        f"{preset.parameters / 1e6:.1f} M",
        str(preset.image_size[0]),
        f"{preset.mflops / 1e3:.1f}",
        "" if preset.top1 is None else f"{preset.top1:.3f}",
        _INT8[preset.int8],
        "inside" if preset.preprocessing == "inside" else "added",
    )
