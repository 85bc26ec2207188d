"""A run directory as one page a person would show around."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tftune.atomic import write_text
from tftune.config.text_input import TextInput
from tftune.errors import ModelFileError
from tftune.evaluation.record import read_json
from tftune.reports import page
from tftune.reports.confusions import confusion_parts
from tftune.reports.run_files import RunFiles, read_run
from tftune.results.audit import AuditReport
from tftune.results.evaluation import Evaluation
from tftune.results.export import Certificate
from tftune.results.training_run import plot_history

REPORT_FILE = "report.html"


def write_report(
    run: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    test: Evaluation | None = None,
    thumbnails: Mapping[int, bytes] | None = None,
    audit: AuditReport | None = None,
    explanations: Mapping[str, Any] | None = None,
    more: Mapping[str, Any] | None = None,
    exports: Sequence[str | os.PathLike[str]] = (),
) -> Path:
    """Write a run as one self-contained HTML page.

    What the run directory holds is shown: verdict, data, plan, curves, validation, calibration,
    confusions with thumbnails, time, environment. The rest is shown where it is given.

    Args:
        run: a run directory.
        output: the file to write; `report.html` in the run directory by default.
        test: the model's evaluation on the test split.
        thumbnails: of notable test examples, as `tftune.evaluation.record.thumbnails` makes them;
            confusions are then those of the test split.
        audit: of the data.
        explanations: matplotlib figures of images by title, such as `plot_mistakes` and `grad_cam`
            give them.
        more: other values to show by title, such as a RobustnessReport, SliceReport or CostReport.
        exports: exports, or their certificates, to show.

    Returns:
        The file.

    Raises:
        ModelFileError: if the run directory is incomplete, or an export has no certificate.
    """
    found = read_run(run)
    confusions = confusion_parts(found.validation, found.thumbnails)
    if test is not None and thumbnails is not None:
        confusions = confusion_parts(test, thumbnails)
    parts = [
        *_verdict_parts(found, test),
        *_evaluation_parts(found, test),
        *confusions,
        *_calibration_parts(test or found.validation),
        *_explanation_parts(explanations or {}),
        *_more_parts(more or {}),
        *_data_parts(found, audit),
        *_plan_parts(found),
        *_export_parts(exports),
        *_reproduction_parts(found),
    ]
    target = Path(output) if output else found.folder / REPORT_FILE
    write_text(target, page.page(f"Training run: {found.name}", parts))
    return target


def _verdict_parts(run: RunFiles, test: Evaluation | None) -> list[str]:
    best = test or run.validation
    score = best.intervals[best.headline]
    headline = best.headline.replace("_", " ")
    told = f"{headline.capitalize()} {score} on {best.num_examples} {best.split} examples; "
    told += f"an answer that ignores the image scores {best.baseline[best.headline]:.3f}."
    parts = [page.paragraph(told, "lead")]
    verdict = run.metrics.get("verdict", "")
    if not isinstance(verdict, dict):
        return [*parts, page.paragraph(str(verdict))]
    for judged in (verdict, *verdict.get("others", ())):
        rows = [
            [name, f"{score['value']:.3f}", f"{score['low']:.3f} to {score['high']:.3f}"]
            for name, score in judged.get("scores", {}).items()
        ]
        columns = ["weights", judged.get("metric", "score"), "95% interval"]
        caption = f"Verdict on {judged.get('num_examples', '?')} validation examples"
        parts += [page.paragraph(judged["sentence"]), page.table(columns, rows, caption)]
    return parts


def _evaluation_parts(run: RunFiles, test: Evaluation | None) -> list[str]:
    parts = [page.heading("Evaluation")]
    for evaluation in (test, run.validation):
        if evaluation is not None:
            parts.extend(page.shown(evaluation))
    if test is None:
        parts.append(
            page.paragraph(
                "The weights were chosen on the validation examples, so these figures flatter the "
                "model a little. `tftune report RUN --data FOLDER` adds those of the test split.",
                "soft",
            )
        )
    return parts


def _calibration_parts(evaluation: Evaluation) -> list[str]:
    if evaluation.calibration is None:
        return []
    drawings = [page.picture(evaluation.calibration.plot(), f"Reliability on {evaluation.split}")]
    parts = [page.heading("Calibration"), page.paragraph(evaluation.calibration.sentence)]
    if evaluation.task == "multiclass" and evaluation.predictions is not None:
        curve = evaluation.coverage()
        drawings.append(page.picture(curve.plot(), f"Accuracy by coverage on {evaluation.split}"))
        parts.extend(page.shown(curve))
    return [*parts, f'<div class="pair">{"".join(drawings)}</div>']


def _explanation_parts(figures: Mapping[str, Any]) -> list[str]:
    if not figures:
        return []
    parts = [page.heading("Explanations")]
    for title, figure in figures.items():
        parts.extend([page.paragraph(title), page.photograph(figure, title)])
    return parts


def _more_parts(values: Mapping[str, Any]) -> list[str]:
    parts = []
    for title, value in values.items():
        parts.extend([page.heading(title), *page.shown(value)])
        if hasattr(value, "plot"):
            parts.append(page.picture(value.plot(), title))
    return parts


def _data_parts(run: RunFiles, audit: AuditReport | None) -> list[str]:
    parts = [page.heading("Data")]
    splits = run.data.get("splits", {})
    for target in run.data.get("tasks", {}):
        counts = {name: split["counts"].get(target, {}) for name, split in splits.items()}
        names = list(next(iter(counts.values()), {}))
        rows = [[name, *(count.get(name, 0) for count in counts.values())] for name in names]
        caption = f"{run.data.get('source', '')}: examples of each {target}"
        parts.append(page.table([target, *counts], rows, caption))
    parts.extend(page.paragraph(note, "soft") for note in run.data.get("notes", ()))
    if run.data.get("skipped"):
        parts.append(page.paragraph(f"{run.data['skipped']} file(s) could not be used.", "soft"))
    digest = run.metrics.get("data_fingerprint", "unknown")
    parts.append(page.paragraph(f"Fingerprint of the data: {digest}", "soft"))
    if audit is not None:
        parts.extend(["<h3>Audit</h3>", *page.shown(audit)])
    return parts


def _plan_parts(run: RunFiles) -> list[str]:
    parts = [page.heading("Plan"), *page.shown(run.plan), page.heading("Training")]
    parts.extend(page.paragraph(note, "soft") for note in run.metrics.get("notes", ()))
    if run.history.empty:
        return [*parts, page.paragraph("No epoch was trained.")]
    rows = [[_cell(cell) for cell in row] for row in run.history.itertuples(index=False)]
    columns = [column.replace("_", " ") for column in run.history.columns]
    drawn = page.picture(plot_history(run.history), "Loss and accuracy over epochs, by phase")
    every = page.table(columns, rows)
    return [*parts, drawn, f"<details><summary>Every epoch</summary>{every}</details>"]


def _export_parts(exports: Sequence[str | os.PathLike[str]]) -> list[str]:
    if not exports:
        return []
    rows = []
    for export in exports:
        path = Path(export)
        if not path.name.endswith(".certificate.json"):
            path = path.with_name(f"{path.name}.certificate.json")
        if not path.is_file():
            raise ModelFileError(
                f"{str(export)!r} has no certificate: {path.name} does not exist beside it. "
                "Export with `verify=`, and give the numbered folder of a SavedModel."
            )
        certificate = Certificate.from_json(read_json(path))
        for head in certificate.heads:
            before, after = head.before[head.metric].value, head.after[head.metric].value
            rows.append(
                [
                    path.name.removesuffix(".certificate.json"),
                    certificate.runtime,
                    f"{certificate.size_bytes / 1e6:.1f}",
                    f"{certificate.latency_ms:.1f}",
                    head.head,
                    f"{head.max_difference:.1e}",
                    "" if head.agreement is None else f"{head.agreement:.3f}",
                    f"{head.metric.replace('_', ' ')} {before:.3f} to {after:.3f}",
                    certificate.num_examples,
                    "; ".join(certificate.problems) or "none",
                ]
            )
    columns = ["export", "runtime", "MB", "ms an example", "head", "largest difference"]
    columns += ["same answer", "score", "examples", "problems"]
    caption = "Parity certificates: each export against the Keras model on the same examples"
    return [page.heading("Exports"), page.table(columns, rows, caption)]


def _reproduction_parts(run: RunFiles) -> list[str]:
    seconds = run.metrics.get("timings_seconds", {})
    spent = [[name.replace("_", " "), f"{value:.1f}"] for name, value in seconds.items()]
    total = sum(seconds.values())
    environment = run.environment
    rows = [
        ["Python", environment.get("python", "")],
        ["platform", environment.get("platform", "")],
        ["processors", environment.get("cpu_count", "")],
        *([name, version] for name, version in environment.get("packages", {}).items()),
    ]
    preset = run.spec.preset if run.spec else "BACKBONE"
    seed = run.plan.seed
    output = f"--output {shlex.quote(run.name)}"
    again = f"tftune train FOLDER {output} --backbone {preset} --seed {seed}"
    load = f'load_image_folder("FOLDER", seed={seed})'
    build = f'build_image_classifier("{preset}", data)'
    if run.spec is not None and isinstance(run.spec.contract, TextInput):
        preset = preset if preset == "ngrams" else "ENCODER"
        again = f"tftune train TABLE --text text {output} --encoder {preset} --seed {seed}"
        load = f'load_text_table("TABLE", seed={seed})'
        build = f'build_text_classifier("{preset}", data)'
    exact = (
        "import tftune\n"
        f"data = tftune.{load}\n"
        f"model = tftune.{build}\n"
        f'plan = tftune.Plan.load("{run.name}/plan.json")\n'
        f'tftune.fine_tune(model, data, plan, output="{run.name}-again")'
    )
    return [
        page.heading("Time"),
        page.table(["step", "seconds"], spent, f"{total:.0f} seconds in all"),
        page.heading("How to reproduce"),
        page.paragraph(
            "With a default plan the first command does it; any plan is repeated by the program, "
            "if the data has the same fingerprint."
        ),
        f"<pre>{page.escaped(again)}\n\n{page.escaped(exact)}</pre>",
        page.table(["", "version"], rows, "Environment"),
    ]


def _cell(cell: Any) -> str:
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)
