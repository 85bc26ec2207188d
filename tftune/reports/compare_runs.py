"""Run directories side by side: what differs, who is better, and whether that is certain."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tftune.config.plan import Plan
from tftune.errors import ConfigError, DataError
from tftune.evaluation.compare import compare
from tftune.evaluation.record import DATA_FILE, read_json, read_validation
from tftune.results.comparison import Comparison, RunComparison

_SKIPPED = ("plan.reasons", "plan.stages", "data.notes")


def compare_runs(runs: Sequence[str | os.PathLike[str]], seed: int = 0) -> RunComparison:
    """Compare finished runs by their answers to the validation examples they share.

    Args:
        runs: two or more run directories.
        seed: seeds the bootstrap.

    Returns:
        What differs in plan, data and environment; and the best run against each other one, with
        McNemar's test (for a multiclass head) and paired bootstrap intervals.

    Raises:
        ConfigError: if fewer than two runs are given.
        ModelFileError: if a run directory is incomplete.
        DataError: if the runs answer different questions.
    """
    folders = [Path(run) for run in runs]
    if len(folders) < 2:
        raise ConfigError(f"`runs` must name at least two run directories. Received: {len(runs)}.")
    names = _short_names(folders)
    settings, evaluations = [], []
    for folder in folders:
        metrics = read_json(folder / "metrics.json")
        evaluations.append(read_validation(folder, metrics))
        settings.append(_settings(folder))
    headline = evaluations[0].headline
    for evaluation in evaluations:
        if evaluation.task != evaluations[0].task:
            tasks = [e.task for e in evaluations]
            raise DataError(f"`runs` must answer the same question. Received: {tasks}.")
    smaller = evaluations[0].task == "regression"
    values = [evaluation.metrics[headline] * (1 if smaller else -1) for evaluation in evaluations]
    best = min(range(len(folders)), key=lambda index: values[index])
    comparisons: list[Comparison] = []
    notes: list[str] = []
    for index, name in enumerate(names):
        if index == best:
            continue
        try:
            pair = (evaluations[index], evaluations[best])
            comparisons.append(compare(*pair, (name, names[best]), seed))
            notes.extend(comparisons[-1].notes)
        except DataError as error:
            notes.append(f"{names[best]} and {name} cannot be compared example by example: {error}")
    beaten = [c for c in comparisons if c.better == names[best]]
    if len(beaten) == len(folders) - 1:
        told = f"{names[best]} is the best, for certain."
    else:
        unsure = [n for n in names if n != names[best] and n not in {c.names[0] for c in beaten}]
        told = f"{names[best]} has the best figure, but whether it is better than "
        told += f"{' or '.join(unsure)} is not certain."
    if len(folders) > 2:
        told += f" {len(folders) - 1} comparisons were made; none is corrected for their number."
    return RunComparison(
        names=names,
        scores={
            name: evaluation.intervals[headline]
            for name, evaluation in zip(names, evaluations, strict=True)
        },
        metric=headline,
        changed=_changed(settings),
        comparisons=tuple(comparisons),
        sentence=told,
        notes=tuple(notes),
    )


def _short_names(folders: Sequence[Path]) -> tuple[str, ...]:
    """Return the shortest ends of the paths that tell the runs apart."""
    resolved = [folder.resolve() for folder in folders]
    for length in range(1, max(len(path.parts) for path in resolved) + 1):
        names = ["/".join(path.parts[-length:]) for path in resolved]
        if len(set(names)) == len(names):
            return tuple(names)
    raise ConfigError(f"`runs` must name different run directories. Received: {folders[0]} twice.")


def _settings(folder: Path) -> dict[str, str]:
    """Return everything a run was made with, as text by dotted name."""
    plan = Plan.load(folder / "plan.json")
    values: dict[str, Any] = {
        "plan": {
            **{field.name: getattr(plan, field.name) for field in dataclasses.fields(plan)},
            "phases": {
                label: dataclasses.asdict(phase)
                for label, phase in zip(plan.labels, plan.phases, strict=True)
            },
        },
        "environment": read_json(folder / "environment.json"),
    }
    if (folder / DATA_FILE).exists():
        values["data"] = read_json(folder / DATA_FILE)
    found: dict[str, str] = {}
    _flatten("", values, found)
    return {name: value for name, value in found.items() if not name.startswith(_SKIPPED)}


def _flatten(prefix: str, value: Any, found: dict[str, str]) -> None:
    if isinstance(value, dict):
        for name, item in value.items():
            _flatten(f"{prefix}.{name}" if prefix else str(name), item, found)
    else:
        text = "" if value is None else str(value)
        found[prefix] = text[:10] if prefix.endswith("fingerprint") else text


def _changed(settings: Sequence[dict[str, str]]) -> dict[str, tuple[str, ...]]:
    names = list(dict.fromkeys(name for one in settings for name in one))
    rows = {name: tuple(one.get(name, "-") for one in settings) for name in names}
    return {name: values for name, values in rows.items() if len(set(values)) > 1}
