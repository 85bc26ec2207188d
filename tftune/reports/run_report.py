"""A run directory as one page a person would show around."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd

from tftune.atomic import write_text
from tftune.config.plan import Plan
from tftune.errors import ModelFileError
from tftune.reports import page
from tftune.results.training_run import plot_history

REPORT_FILE = "report.html"


def write_report(run: str | os.PathLike[str], output: str | os.PathLike[str] | None = None) -> Path:
    """Write a run's report: verdict, metrics, confusions, curves, plan, environment.

    Args:
        run: a run directory.
        output: the file to write; `report.html` in the run directory by default.

    Returns:
        The file: one self-contained HTML page.

    Raises:
        ModelFileError: if the run directory is incomplete.
    """
    folder = Path(run)
    plan = Plan.load(folder / "plan.json")
    metrics = _read_json(folder / "metrics.json")
    environment = _read_json(folder / "environment.json")
    try:
        history = pd.read_csv(folder / "history.csv")
    except (OSError, pd.errors.EmptyDataError) as error:
        raise ModelFileError(f"{str(folder)!r} has no readable history.csv: {error}.") from error
    parts = [
        *_verdict_parts(metrics),
        *_evaluation_parts(metrics),
        *_history_parts(history),
        *_plan_parts(plan),
        *_environment_parts(folder, plan, metrics, environment),
    ]
    target = Path(output) if output else folder / REPORT_FILE
    write_text(target, page.page(f"Training run: {folder.resolve().name}", parts))
    return target


def _verdict_parts(metrics: dict[str, Any]) -> list[str]:
    verdict = metrics.get("verdict", "")
    if not isinstance(verdict, dict):
        return [page.paragraph(str(verdict), "lead")]
    rows = [
        [name, f"{score['value']:.3f}", f"{score['low']:.3f} to {score['high']:.3f}"]
        for name, score in verdict.get("scores", {}).items()
    ]
    columns = ["weights", verdict.get("metric", "score"), "95% interval"]
    return [page.paragraph(verdict["sentence"], "lead"), page.table(columns, rows)]


def _evaluation_parts(metrics: dict[str, Any]) -> list[str]:
    phases = metrics.get("validation", {})
    if not phases:
        return []
    phase, evaluation = list(phases.items())[-1]
    parts = [page.heading(f"Validation after {phase.replace('_', ' ')}")]
    intervals = evaluation.get("intervals", {})
    rows = [
        [
            name.replace("_", " "),
            f"{interval['value']:.3f}",
            f"{interval['low']:.3f} to {interval['high']:.3f}",
        ]
        for name, interval in intervals.items()
    ]
    examples = f"{evaluation.get('num_examples', '?')} examples; 95% bootstrap intervals"
    parts.append(page.table(["metric", "value", "interval"], rows, caption=examples))
    baseline = (evaluation.get("baseline") or {}).get("accuracy")
    if baseline is not None:
        parts.append(
            page.paragraph(
                f"Always answering the most frequent class scores {baseline:.3f}.",
                "soft",
            )
        )
    per_class = evaluation.get("per_class") or {}
    if per_class:
        keys = list(next(iter(per_class.values())))
        rows = [
            [name, *(f"{row[k]:.3f}" if isinstance(row[k], float) else row[k] for k in keys)]
            for name, row in per_class.items()
        ]
        parts.append(page.table(["class", *keys], rows))
    matrix = evaluation.get("confusion")
    if matrix:
        parts.append(page.confusion(matrix, evaluation["class_names"]))
    return parts


def _history_parts(history: pd.DataFrame) -> list[str]:
    if history.empty:
        return []
    rows = [[_shown(cell) for cell in row] for row in history.itertuples(index=False)]
    return [
        page.heading("Training"),
        page.picture(plot_history(history), "Loss and validation loss over epochs, by phase"),
        page.table([column.replace("_", " ") for column in history.columns], rows),
    ]


def _plan_parts(plan: Plan) -> list[str]:
    rows = []
    for index, phase in enumerate(plan.phases):
        trained = ", ".join((*plan.stages[index], "head")) if plan.stages else str(phase.unfreeze)
        cells = [phase.name, trained, phase.epochs, f"{phase.learning_rate:g}", phase.optimizer]
        rows.append([index + 1, *cells, phase.batch_size])
    columns = ["", "phase", "trains", "epochs", "peak rate", "optimizer", "batch"]
    told = [page.paragraph(f"{name}: {reason}", "soft") for name, reason in plan.reasons.items()]
    return [page.heading("Plan"), page.table(columns, rows), *told]


def _environment_parts(
    folder: Path, plan: Plan, metrics: dict[str, Any], environment: dict[str, Any]
) -> list[str]:
    rows = [
        ["Python", environment.get("python", "")],
        ["platform", environment.get("platform", "")],
    ]
    rows += [[name, version] for name, version in environment.get("packages", {}).items()]
    seconds = metrics.get("timings_seconds", {})
    spent = [[name.replace("_", " "), f"{value:.1f}"] for name, value in seconds.items()]
    again = f"tftune train FOLDER --output {folder.name} --seed {plan.seed}"
    return [
        page.heading("Time"),
        page.table(["step", "seconds"], spent),
        page.heading("How to reproduce"),
        page.paragraph(
            f"The data has the fingerprint {metrics.get('data_fingerprint', 'unknown')}; the plan "
            "is plan.json beside this page."
        ),
        f"<pre>{again}</pre>",
        page.table(["package", "version"], rows),
    ]


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelFileError(
            f"{str(file.parent)!r} is not a finished run: {file.name} cannot be read ({error})."
        ) from error


def _shown(cell: Any) -> str:
    return f"{cell:.3g}" if isinstance(cell, float) else str(cell)
