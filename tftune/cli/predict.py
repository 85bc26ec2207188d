"""`tftune predict`: what a model says of images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tftune.cli import console
from tftune.cli.arguments import Json, Model
from tftune.display import Table, as_text
from tftune.results.unknown import UNKNOWN

if TYPE_CHECKING:
    from tftune.builders.transfer_model import TransferModel


def command(
    model: Model,
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    top: Annotated[int, typer.Option(min=1, help="How many classes to show an image.")] = 3,
    as_json: Json = False,
) -> None:
    """Classify IMAGES with MODEL."""
    console.import_tensorflow_quietly()
    import tftune

    loaded = tftune.load(model)
    # A model that was taught what is unknown says so.
    answers = loaded.predict(list(images), unknown=loaded.known is not None)
    assert isinstance(answers, list)
    if as_json:
        pairs = zip(images, answers, strict=True)
        print(json.dumps({str(image): answer for image, answer in pairs}, ensure_ascii=False))
        return
    rows = []
    for image, answer in zip(images, answers, strict=True):
        one_for_all = len(loaded.heads) == 1 or UNKNOWN in answer
        by_head = {head.name: answer for head in loaded.heads} if one_for_all else answer
        for head in loaded.heads:
            # A regression's values are all wanted, whichever are largest.
            shown = None if head.task == "regression" else top
            best = list(by_head[head.name].items())[:shown]
            told = ", ".join(f"{name} {value:.3f}" for name, value in best)
            rows.append((str(image), told if len(loaded.heads) == 1 else f"{head.name}: {told}"))
    print(as_text([Table(("image", _heading(loaded)), rows)]))


def _heading(model: TransferModel) -> str:
    if len(model.heads) > 1:
        return "answers"
    return "value" if model.task == "regression" else "class and probability"
