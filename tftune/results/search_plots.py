"""Pictures of a search: the objective by trial, what each setting does, all settings at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

_COLUMNS = 4
_BLUE, _ORANGE, _GRAY = "#0072b2", "#d55e00", "0.6"


def plot_search(
    trials: pd.DataFrame,
    objective: str,
    more_is_better: bool,
    searched: Mapping[str, bool],
    winner: str,
) -> Any:
    """Draw a search.

    Args:
        trials: as `SearchResult.trials`.
        objective: the column that trials were compared by.
        more_is_better: whether a large objective is good.
        searched: the columns that differ between trials, and whether magnitudes count in each.
        winner: the best trial.

    Returns:
        A matplotlib Figure: the objective by trial with the best so far; the objective over each
        setting; parallel coordinates, a line a trial, coloured by the objective.
    """
    from matplotlib.figure import Figure

    drawn = trials[~trials["trial"].str.startswith("default")]
    varied = [name for name in searched if name in drawn and drawn[name].notna().any()]
    rows = math.ceil(len(varied) / _COLUMNS)
    heights = [2.6, *([2.3] * rows), 3.2]
    figure = Figure(figsize=(11, sum(heights)), layout="constrained")
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    _by_trial(parts[0].subplots(), trials, objective, more_is_better)
    for row in range(rows):
        panels = parts[1 + row].subplots(1, _COLUMNS, sharey=True)
        for place, axes in enumerate(panels):
            index = row * _COLUMNS + place
            if index < len(varied):
                _effect(axes, drawn, varied[index], searched[varied[index]], objective, winner)
            else:
                axes.axis("off")
        panels[0].set_ylabel(_told(objective))
    _parallel(parts[-1], drawn, {n: searched[n] for n in varied}, objective, more_is_better, winner)
    return figure


def _by_trial(axes: Any, trials: pd.DataFrame, objective: str, more_is_better: bool) -> None:
    default = trials.loc[trials["trial"] == "default", objective]
    drawn = trials[~trials["trial"].str.startswith("default")].reset_index(drop=True)
    done = drawn[drawn["status"] == "done"]
    best = done[objective].cummax() if more_is_better else done[objective].cummin()
    axes.plot(done.index + 1, done[objective], "o", ms=4, color=_BLUE, label="trial")
    axes.step(done.index + 1, best, where="post", color=_ORANGE, lw=1.5, label="best so far")
    if len(default):
        axes.axhline(default.iloc[0], color=_GRAY, lw=1, ls="--", label="default plan")
    failed = drawn.index[drawn["status"] == "failed"] + 1
    if len(failed):
        low = axes.get_ylim()[0]
        axes.plot(failed, [low] * len(failed), "x", color="black", ms=5, label="failed")
    axes.set(xlabel="trial", ylabel=_told(objective))
    axes.xaxis.get_major_locator().set_params(integer=True)
    # Beside the axes, where it hides no trial.
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _effect(
    axes: Any, trials: pd.DataFrame, name: str, log: bool, objective: str, winner: str
) -> None:
    done = trials[(trials["status"] == "done") & trials[name].notna()]
    best = (done["trial"] == winner).to_numpy()
    places, labels = _places(done[name])
    spread = np.zeros(len(done))
    if labels is not None:
        spread = np.random.default_rng(0).uniform(-0.15, 0.15, len(done))
        axes.set_xticks(range(len(labels)), labels)
        axes.set_xlim(-0.5, len(labels) - 0.5)
    elif log:
        axes.set_xscale("log")
    axes.plot(places + spread, done[objective], "o", ms=4, alpha=0.7, color=_BLUE)
    axes.plot((places + spread)[best], done[objective][best], "*", ms=11, color=_ORANGE)
    axes.set_xlabel(_told(name))


def _parallel(
    part: Any,
    trials: pd.DataFrame,
    varied: Mapping[str, bool],
    objective: str,
    more_is_better: bool,
    winner: str,
) -> None:
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    axes = part.subplots()
    names = [*varied, objective]
    # The best are drawn last, above the others.
    done = trials[trials["status"] == "done"].sort_values(objective, ascending=more_is_better)
    heights = []
    for place, name in enumerate(names):
        values, labels = _places(done[name])
        if labels is not None:
            low, high = -0.5, len(labels) - 0.5
            ticks = [(index, label) for index, label in enumerate(labels)]
            scaled = values
        else:
            log = varied.get(name, False)
            scaled = np.log10(values) if log else values
            low, high = np.nanmin(scaled), np.nanmax(scaled)
            low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
            ends = np.linspace(low, high, 3)
            ticks = [(end, f"{10**end if log else end:.2g}") for end in ends]
        heights.append((scaled - low) / (high - low))
        axes.axvline(place, color=_GRAY, lw=0.8)
        for value, label in ticks:
            axes.annotate(
                label,
                (place, (value - low) / (high - low)),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5},
            )
    scale = Normalize(done[objective].min(), done[objective].max())
    colours = colormaps["viridis" if more_is_better else "viridis_r"]
    columns = np.arange(len(names))
    for row, (trial, value) in enumerate(zip(done["trial"], done[objective], strict=True)):
        line = [height[row] for height in heights]
        width = 2.5 if trial == winner else 1.0
        axes.plot(columns, line, color=colours(scale(value)), lw=width, alpha=0.85)
    axes.set_xticks(columns, [_told(name) for name in names])
    axes.set(yticks=[], xlim=(-0.2, len(names) - 0.55), ylim=(-0.08, 1.08))
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0)
    part.colorbar(ScalarMappable(scale, colours), ax=axes, label=_told(objective), pad=0.01)


def _places(column: pd.Series) -> tuple[np.ndarray, list[str] | None]:
    """Return where to draw values, and names for the places where the values are no numbers."""
    few = column.nunique() <= 4
    if pd.api.types.is_numeric_dtype(column) and not few:
        return column.to_numpy(float), None
    kinds = column.dropna().unique().tolist()
    kinds = sorted(kinds, key=lambda kind: (isinstance(kind, str), kind))
    index = {kind: place for place, kind in enumerate(kinds)}
    labels = [f"{kind:g}" if isinstance(kind, (int, float)) else str(kind) for kind in kinds]
    return np.array([index.get(value, np.nan) for value in column], float), labels


def _told(name: str) -> str:
    return name.replace("_", " ")
