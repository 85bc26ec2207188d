"""A model card in Markdown: what a run's figures say, and what only its owner can."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tftune.atomic import write_text
from tftune.config.text_input import TextInput
from tftune.reports.run_files import RunFiles, read_run
from tftune.results.evaluation import Evaluation

CARD_FILE = "model_card.md"


def write_model_card(
    run: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    test: Evaluation | None = None,
) -> Path:
    """Write a run's model card.

    What the run knows is filled in; what only its owner knows is marked "To do".

    Args:
        run: a run directory.
        output: the file to write; `model_card.md` in the run directory by default.
        test: the model's evaluation on the test split.

    Returns:
        The file, in Markdown.

    Raises:
        ModelFileError: if the run directory is incomplete.

    References:
        Mitchell et al. 2019, https://arxiv.org/abs/1810.03993.
    """
    found = read_run(run)
    text = "\n\n".join(
        [
            f"# Model card: {_plain(found.name)}",
            *_details(found),
            "## Intended use",
            "To do: who should use the model, for what, and what it must not be used for.",
            *_factors(test or found.validation),
            *_metrics(found, test),
            *_data(found),
            *_analyses(test or found.validation),
            "## Ethical considerations",
            "To do: whom mistakes may harm, and how personal data came to be used.",
            *_caveats(found, test),
        ]
    )
    target = Path(output) if output else found.folder / CARD_FILE
    write_text(target, text + "\n")
    return target


def _details(run: RunFiles) -> list[str]:
    lines = []
    if run.spec is not None:
        contract = run.spec.contract
        if isinstance(contract, TextInput):
            length = contract.sequence_length
            read = f", texts of up to {length} tokens" if length else ", texts"
        else:
            size = " x ".join(str(side) for side in contract.image_size)
            read = f", images of {size} pixels, resized by `{contract.resize}`"
        lines.append(f"Backbone: {run.spec.preset}{read}")
        for head in run.spec.heads:
            names = ", ".join(_plain(name) for name in head.class_names[:20])
            rest = len(head.class_names) - 20
            names += f" and {rest} more" if rest > 0 else ""
            lines.append(f"Answers: {_plain(head.name)} ({head.task}): {names}")
    trained = [
        f"{phase.name} ({phase.epochs} epochs at {phase.learning_rate:g})"
        for phase in run.plan.phases
    ]
    lines.append(f"Training: {', then '.join(trained)}; seed {run.plan.seed}")
    packages = run.environment.get("packages", {})
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    lines.append(f"Made with: Python {run.environment.get('python', '')}, {versions}")
    lines.append("Owner, date, version, license and contact: to do")
    return ["## Model details", _bullets(lines)]


def _factors(evaluation: Evaluation) -> list[str]:
    told = "To do: groups, devices and conditions for which figures may differ. "
    told += "`tftune.measure_slices` and `tftune.measure_robustness` measure them."
    scored = {
        name: row["recall"]
        for name, row in evaluation.per_class.items()
        if "recall" in row and row["support"]
    }
    if scored:
        worst = min(scored, key=lambda name: scored[name])
        told += f"\n\nThe class found least often is {_plain(worst)}: recall {scored[worst]:.3f} "
        told += f"on {evaluation.per_class[worst]['support']:.0f} examples."
    return ["## Factors", told]


def _metrics(run: RunFiles, test: Evaluation | None) -> list[str]:
    parts = [
        "## Metrics",
        "Figures with 95% bootstrap intervals, beside those of an answer that ignores the image.",
    ]
    for evaluation in (test, run.validation):
        if evaluation is None:
            continue
        parts.append(f"On {evaluation.split}, {evaluation.num_examples} examples:")
        parts.append(_table(("metric", "value", "95% interval", "baseline"), evaluation.rows()))
    return parts


def _data(run: RunFiles) -> list[str]:
    splits = run.data.get("splits", {})
    rows = [(name, split["examples"]) for name, split in splits.items()]
    digest = run.metrics.get("data_fingerprint", "unknown")
    return [
        "## Evaluation data",
        "The validation split chose the weights; the test split, where it is reported, was not "
        "used in training.",
        "## Training data",
        f"Source: {_plain(str(run.data.get('source', 'unknown')))}; fingerprint `{digest}`.",
        _table(("split", "examples"), rows),
        "To do: how the data was collected and labelled, and what it leaves out.",
    ]


def _analyses(evaluation: Evaluation) -> list[str]:
    columns = [key for key in next(iter(evaluation.per_class.values()), {}) if key != "support"]
    rows = [
        (
            _plain(name),
            *(f"{row[k]:.3f}" if row[k] == row[k] else "" for k in columns),
            int(row["support"]),
        )
        for name, row in evaluation.per_class.items()
    ]
    headings = ("class", *(column.replace("_", " ") for column in columns), "examples")
    parts = [
        "## Quantitative analyses",
        f"By class, on {evaluation.split}:",
        _table(headings, rows),
    ]
    if evaluation.calibration is not None:
        parts.append(evaluation.calibration.sentence)
    return parts


def _caveats(run: RunFiles, test: Evaluation | None) -> list[str]:
    lines = []
    if test is None:
        lines.append(
            "Only validation figures are given. The weights were chosen on the same examples, so "
            "they flatter the model a little."
        )
    verdict = run.metrics.get("verdict")
    if isinstance(verdict, dict):
        lines.append(str(verdict["sentence"]))
    lines.extend((test or run.validation).notes)
    lines.extend(run.metrics.get("notes", ()))
    lines.append("The model answers every image with one of its classes unless it was taught ")
    lines[-1] += "(`tftune.fit_unknown`) to say that an image is unknown."
    return ["## Caveats and recommendations", _bullets(lines)]


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(columns: tuple[str, ...], rows: Any) -> str:
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Keep names from being read as Markdown or HTML."""
    for mark in "\\`*_[]<>|#":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("\n", " ")
