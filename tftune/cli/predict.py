"""`tftune predict`: what a model says of images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tftune.cli import console
from tftune.cli.arguments import Json, Model
from tftune.display import Table, as_text


def command(
    model: Model,
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    top: Annotated[int, typer.Option(min=1, help="How many classes to show an image.")] = 3,
    as_json: Json = False,
) -> None:
    """Classify IMAGES with MODEL."""
    console.import_tensorflow_quietly()
    import tftune

    answers = tftune.load(model).predict(list(images))
    assert isinstance(answers, list)
    if as_json:
        pairs = zip(images, answers, strict=True)
        print(json.dumps({str(image): answer for image, answer in pairs}, ensure_ascii=False))
        return
    rows = []
    for image, answer in zip(images, answers, strict=True):
        best = list(answer.items())[:top]
        rows.append((str(image), ", ".join(f"{name} {p:.3f}" for name, p in best)))
    print(as_text([Table(("image", "class and probability"), rows)]))
