"""`tftune cache`: what the activation cache holds, and emptying it."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime
from typing import Annotated, Any

import typer

from tftune.cache import budget
from tftune.cache.keys import cache_folder
from tftune.cli.arguments import Json
from tftune.display import Table, as_text, show_size
from tftune.errors import ConfigError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Show or empty the cache of features that frozen backbones gave.",
)


@app.command("info")
def info(as_json: Json = False) -> None:
    """List what the cache holds, what it may hold, and where it is."""
    place = cache_folder()
    root = place / "activations"
    entries = budget.entries(root, count_rows=True)[::-1]
    total = sum(entry.size_bytes for entry in entries)
    allowed = budget.default_budget(root, total)
    if as_json:
        value = {
            "folder": str(place),
            "size_bytes": total,
            "budget_bytes": allowed,
            "trunks": [_as_json(entry) for entry in entries],
        }
        print(json.dumps(value, indent=2))
        return
    if entries:
        rows = [
            (
                entry.folder.name[:8],
                entry.about.get("backbone") or "",
                entry.about.get("boundary") or "",
                sum(entry.rows.values()),
                show_size(entry.size_bytes),
                _when(entry.last_used),
            )
            for entry in entries
        ]
        columns = ("trunk", "backbone", "boundary", "rows", "size", "last used")
        print(as_text([Table(columns, rows)]) + "\n")
    print(f"{show_size(total)} of at most {show_size(allowed)} in {place}")


@app.command("clear")
def clear(
    older_than: Annotated[
        str, typer.Option(help="Only what was last used longer ago: '7d', '12h', '30m' or '2w'.")
    ] = "0s",
    as_json: Json = False,
) -> None:
    """Delete cached features. What a running program uses stays."""
    removed, kept = budget.clear(cache_folder() / "activations", _seconds(older_than))
    freed = sum(entry.size_bytes for entry in removed)
    if as_json:
        value = {
            "freed_bytes": freed,
            "removed": [entry.folder.name for entry in removed],
            "in_use": [entry.folder.name for entry in kept],
        }
        print(json.dumps(value, indent=2))
        return
    trunks = "1 trunk" if len(removed) == 1 else f"{len(removed)} trunks"
    print(f"Deleted {trunks}, {show_size(freed)}.")
    if kept:
        print(f"{len(kept)} in use by a running program stayed.")


def _as_json(entry: budget.Entry) -> dict[str, Any]:
    return {
        "trunk": entry.folder.name,
        "backbone": entry.about.get("backbone") or "",
        "boundary": entry.about.get("boundary") or "",
        "shape": entry.about.get("shape") or "",
        "rows": entry.rows,
        "size_bytes": entry.size_bytes,
        "last_used": datetime.fromtimestamp(entry.last_used).astimezone().isoformat(),
    }


def _when(moment: float) -> str:
    seconds = max(0.0, time.time() - moment)
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds // unit:.0f} {name} ago"
    return "just now"


def _seconds(text: str) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*", text.lower())
    if not match:
        raise ConfigError(
            f"`--older-than` must be a time such as '7d', '12h' or '30m'. Received: {text!r}."
        )
    return float(match[1]) * _SECONDS[match[2]]
