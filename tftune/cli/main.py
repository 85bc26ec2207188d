"""The `tftune` command: one file a command, brought together here."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from typing import Any

import typer

import tftune
from tftune.cli import (
    audit,
    backbones,
    benchmark,
    cache,
    compare,
    console,
    convert_bert,
    demo,
    doctor,
    evaluate,
    export,
    predict,
    report,
    search,
    train,
    verify,
)

app = typer.Typer(
    name="tftune",
    cls=console.SentenceGroup,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Fine-tune a pretrained network on your own images or texts and ship it.",
    epilog="Exit codes: 0 done; 1 if audit, verify or doctor found an error; 2 bad input, told in "
    "one sentence; 130 stopped with Ctrl-C.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"tftune {tftune.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version."
    ),
) -> None:
    pass


# The journey from a folder to a phone: each command with what a person would type.
_JOURNEY: dict[str, dict[str, tuple[Any, tuple[str, ...]]]] = {
    "Start": {
        "demo": (demo, ("tftune demo",)),
        "backbones": (backbones, ("tftune backbones --sort speed",)),
        "convert-bert": (convert_bert, ("tftune convert-bert all-MiniLM-L6-v2 encoders/minilm",)),
    },
    "Data": {
        "audit": (
            audit,
            (
                "tftune audit flowers --html audit.html",
                "tftune audit labels.csv --label species --group animal",
            ),
        ),
    },
    "Train": {
        "train": (
            train,
            (
                "tftune train flowers --dry-run",
                "tftune train flowers --output runs/flowers",
                "tftune train tickets.csv --text body --label queue --output runs/tickets",
                "tftune train --config runs/flowers/run.json --seed 1 --output runs/again",
            ),
        ),
        "search": (
            search,
            (
                "tftune search flowers --budget 10m --output searches/flowers",
                "tftune search flowers --trials 50 --workers 2 --output searches/flowers",
            ),
        ),
    },
    "Judge": {
        "evaluate": (
            evaluate,
            ("tftune evaluate runs/flowers", "tftune evaluate runs/flowers new/ --split all"),
        ),
        "compare": (compare, ("tftune compare runs/flowers runs/again",)),
        "predict": (predict, ("tftune predict runs/flowers rose.jpg tulip.jpg",)),
        "report": (report, ("tftune report runs/flowers --data flowers --explain",)),
    },
    "Ship": {
        "export": (
            export,
            (
                "tftune export runs/flowers saved_models/flowers --verify flowers --bundle",
                "tftune export runs/flowers flowers.tflite --quantize int8 --verify flowers",
            ),
        ),
        "verify": (verify, ("tftune verify flowers.tflite --data flowers --model runs/flowers",)),
        "doctor": (doctor, ("tftune doctor", "tftune doctor flowers.tflite")),
        "benchmark": (benchmark, ("tftune benchmark flowers.tflite",)),
    },
}
_CACHE_PANEL = "Housekeeping"


def _paragraphs(docstring: str | None) -> str:
    """Take out the line ends of the source, which some versions of typer would print."""
    paragraphs = inspect.cleandoc(docstring or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


for _panel, _commands in _JOURNEY.items():
    for _name, (_module, _examples) in _commands.items():
        app.command(
            _name,
            rich_help_panel=_panel,
            help=_paragraphs(_module.command.__doc__),
            epilog="\n\n".join(("Examples:", *(f"  {example}" for example in _examples))),
        )(_module.command)
app.add_typer(cache.app, name="cache", rich_help_panel=_CACHE_PANEL)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 bad input, 130 interrupted."""
    chosen = list(sys.argv[1:] if arguments is None else arguments)
    app(chosen, prog_name="tftune")
