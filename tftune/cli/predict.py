"""`tftune predict`: what a model says of images or texts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from tftune.cli import console
from tftune.cli.arguments import Json, Model
from tftune.config.model_spec import TAGS
from tftune.config.text_input import TextInput
from tftune.display import Table, as_text
from tftune.results.unknown import UNKNOWN

if TYPE_CHECKING:
    from tftune.builders.transfer_model import TransferModel


def command(
    model: Model,
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="IMAGES", help="Image files; for a model of texts, texts."),
    ],
    top: Annotated[int, typer.Option(min=1, help="How many classes to show an image.")] = 3,
    as_json: Json = False,
) -> None:
    """Classify IMAGES, or texts, with MODEL."""
    console.import_tensorflow_quietly()
    import tftune

    loaded = tftune.load(model)
    # A model that was taught what is unknown says so.
    answers = loaded.predict(list(inputs), unknown=loaded.known is not None)
    assert isinstance(answers, list)
    if as_json:
        pairs = zip(inputs, answers, strict=True)
        print(json.dumps(dict(pairs), ensure_ascii=False))
        return
    thing = "text" if isinstance(loaded.contract, TextInput) else "image"
    rows = []
    for given, answer in zip(inputs, answers, strict=True):
        one_for_all = len(loaded.heads) == 1 or UNKNOWN in answer
        by_head = {head.name: answer for head in loaded.heads} if one_for_all else answer
        for head in loaded.heads:
            if head.task == TAGS:
                tagged = zip(answer["words"], answer["tags"], strict=True)
                rows.append((given, " ".join(f"{w}/{t}" if t != "O" else w for w, t in tagged)))
                continue
            # A regression's values are all wanted, whichever are largest.
            shown = None if head.task == "regression" else top
            best = list(by_head[head.name].items())[:shown]
            told = ", ".join(f"{name} {value:.3f}" for name, value in best)
            rows.append((given, told if len(loaded.heads) == 1 else f"{head.name}: {told}"))
    print(as_text([Table((thing, _heading(loaded)), rows)]))


def _heading(model: TransferModel) -> str:
    if len(model.heads) > 1:
        return "answers"
    if model.task == TAGS:
        return "words and tags"
    return "value" if model.task == "regression" else "class and probability"
