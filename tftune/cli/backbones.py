"""`tftune backbones`: what a model can be built on."""

from __future__ import annotations

import dataclasses
import json

from tftune.builders.presets import DEFAULT_PRESET, PRESETS
from tftune.cli.arguments import Json
from tftune.display import Table, as_text


def command(as_json: Json = False) -> None:
    """List the backbones a model can be built on."""
    if as_json:
        print(json.dumps([dataclasses.asdict(preset) for preset in PRESETS.values()], indent=2))
        return
    rows = [
        (
            preset.name,
            f"{preset.parameters / 1e6:.1f} M",
            "x".join(str(side) for side in preset.image_size),
            "installed" if not preset.factory else "downloaded",
        )
        for preset in PRESETS.values()
    ]
    print(as_text([Table(("backbone", "parameters", "image size", "weights"), rows)]))
    print(f"\nThe default is {DEFAULT_PRESET}.")
