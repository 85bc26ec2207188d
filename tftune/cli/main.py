"""The `tftune` command: one file a command, brought together here."""

from __future__ import annotations

import sys
from collections.abc import Sequence

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


app.command("demo")(demo.command)
app.command("backbones")(backbones.command)
app.command("audit")(audit.command)
app.command("train")(train.command)
app.command("search")(search.command)
app.command("evaluate")(evaluate.command)
app.command("compare")(compare.command)
app.command("predict")(predict.command)
app.command("report")(report.command)
app.command("export")(export.command)
app.command("convert-bert")(convert_bert.command)
app.command("verify")(verify.command)
app.command("doctor")(doctor.command)
app.command("benchmark")(benchmark.command)
app.add_typer(cache.app, name="cache")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 bad input, 130 interrupted."""
    chosen = list(sys.argv[1:] if arguments is None else arguments)
    app(chosen, prog_name="tftune")
