"""Pages that MkDocs makes from the code itself: the Python and the command line reference."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mkdocs.structure.files import File, Files

import tftune

# Public names by the line of work they belong to; what is in no group ends the page.
GROUPS = {
    "Data": ("load_", "Dataset", "Split", "Augmentation", "plot_augmentations", "audit", "Audit"),
    "Models": ("build_", "TransferModel", "load", "convert_bert"),
    "Training": ("plan", "Plan", "Phase", "fine_tune", "TrainingRun", "find_", "rank_", "cross_"),
    "Search": ("search", "Search", "Choice", "Float", "Int"),
    "Evaluation": (
        *("evaluate", "Evaluation", "compare", "calibrate", "fit_unknown", "measure_"),
        *("grad_cam", "attribute_words", "plot_"),
    ),
    "Exports": ("export_", "Export", "verify_export", "diagnose", "benchmark_tflite"),
    "Reports": ("write_",),
}


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages."""
    for path, text in (
        ("reference/api.md", api_reference()),
        ("reference/cli.md", cli_reference()),
    ):
        files.append(File.generated(config, path, content=text))
    return files


def api_reference() -> str:
    """Return a page that asks mkdocstrings for every public name."""
    left = set(tftune.__all__) - {"plans"}
    lines = ["# Python", "", "Every public name, from its docstring.", ""]
    for group, prefixes in GROUPS.items():
        names = sorted(
            name for name in left if name in prefixes or name.startswith(_real(prefixes))
        )
        left -= set(names)
        lines += [f"## {group}", "", *_asked(f"{_home(name)}.{name}" for name in names)]
        if group == "Training":
            lines += _asked(["tftune.plans.gradual"])
    lines += ["## Other names", "", *_asked(f"{_home(name)}.{name}" for name in sorted(left))]
    return "\n".join(lines)


def _home(name: str) -> str:
    return tftune._HOMES[name]


def _real(prefixes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(prefix for prefix in prefixes if prefix.endswith("_"))


def _asked(names: Any) -> list[str]:
    return [line for name in names for line in (f"::: {name}", "")]


def cli_reference() -> str:
    """Return a page of every command, its arguments, options and examples."""
    import typer.main

    from tftune.cli.main import app

    group = typer.main.get_command(app)
    lines = ["# Command line", "", group.help or "", "", group.epilog or "", ""]
    for name, command in group.commands.items():
        lines += _command(f"tftune {name}", command)
    return "\n".join(lines)


def _command(title: str, command: Any) -> Iterator[str]:
    yield from (f"## {title}", "", _plain(command.help or ""), "")
    for name, below in getattr(command, "commands", {}).items():
        yield from _command(f"{title} {name}", below)
    rows = [row for parameter in command.params if (row := _parameter(parameter))]
    if rows:
        yield from ("| | what it says | by default |", "|---|---|---|", *rows, "")
    examples = (command.epilog or "").removeprefix("Examples:").split("\n\n")
    if any(line.strip() for line in examples):
        yield from ("```bash", *(line.strip() for line in examples if line.strip()), "```", "")


def _parameter(parameter: Any) -> str:
    if parameter.name == "help":
        return ""
    named = ", ".join(parameter.opts) if parameter.param_type_name == "option" else parameter.name
    default = parameter.default
    shown = "" if default in (None, False, ()) or callable(default) else f"`{default}`"
    if parameter.required:
        shown = "required"
    return f"| `{named}` | {_plain(parameter.help or '')} | {shown} |"


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;")
