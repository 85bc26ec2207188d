"""Comparing an export's answers with the Keras model's on held-out examples."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tftune.builders.transfer_model import TransferModel
from tftune.config.model_spec import TAGS, HeadSpec
from tftune.data.dataset import Split
from tftune.errors import ExportError
from tftune.evaluation.evaluate import check_classes, evaluate_heads, predict_split
from tftune.results.evaluation import Evaluation, Interval
from tftune.results.export import Certificate, HeadParity

# Two runs of one export may differ where threads add in another order, by no more than rounding.
_REPEAT_TOLERANCE = 1e-5
_THRESHOLD = 0.5
_METRICS = {
    "multiclass": ("accuracy", "macro_f1"),
    "multilabel": ("macro_f1", "micro_f1"),
    TAGS: ("entity_f1", "word_accuracy"),
    "regression": ("rmse", "mae"),
}
_PACKAGES = ("tftune", "tensorflow", "keras", "ai-edge-litert", "numpy")


@dataclass(frozen=True)
class Answers:
    """What an export answered.

    Attributes:
        runtime: what ran it, with its version.
        outputs: by head name, shape (num_examples, num_outputs).
        repeated: the same from a second run.
        latency_ms: median milliseconds an example.
    """

    runtime: str
    outputs: Mapping[str, np.ndarray]
    repeated: Mapping[str, np.ndarray]
    latency_ms: float


@dataclass(frozen=True)
class Budget:
    """How far an export may be from its model.

    Attributes:
        tolerance: the largest difference of a probability (for regression, of a value in standard
            deviations); None bounds the loss of accuracy alone.
        max_drop: the largest loss of accuracy, in [0, 1]; of macro F1 for multilabel, and for
            regression the largest rise of the error in standard deviations.
        allow_drop: write the export all the same, and say so in its certificate.
    """

    tolerance: float | None
    max_drop: float = 0.02
    allow_drop: bool = False


Runner = Callable[[Split], Answers]
"""Runs an export over a split in its real runtime."""


def certify(
    model: TransferModel,
    split: Split,
    run: Runner,
    export: Path,
    budget: Budget,
    calibration: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    same: np.ndarray | None = None,
) -> Certificate:
    """Give the same examples to the Keras model and to its export.

    Args:
        model: the Keras side.
        split: held-out examples.
        run: runs the export.
        export: the file or folder that was written.
        budget: how far it may be from the model.
        calibration: what set the ranges of an 8-bit export.
        notes: recorded as they are.
        same: see `compare`.

    Returns:
        The certificate.

    Raises:
        DataError: if the split's classes are not the model's.
        ExportError: if the export is past its budget and that was not allowed.
    """
    check_classes(model, split)
    expected = predict_split(model, split)
    certificate = compare(
        model.heads, expected, run(split), split, export, budget, calibration, notes, same
    )
    if certificate.problems and not budget.allow_drop:
        raise ExportError(
            f"The export does not give the model's answers on {len(split)} examples: "
            f"{'; '.join(certificate.problems)}. Nothing was written."
        )
    return certificate


def compare(
    heads: Sequence[HeadSpec],
    expected: Any,
    answers: Answers,
    split: Split,
    export: Path,
    budget: Budget,
    calibration: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    same: np.ndarray | None = None,
) -> Certificate:
    """Measure how far an export's answers are from the expected ones.

    Args:
        heads: what the answers mean.
        expected: what `predict_split` gave for the Keras model.
        answers: the export's.
        split: the examples both saw.
        export: the file or folder.
        budget: decides what counts as a problem.
        calibration: recorded as it is.
        notes: recorded as they are.
        same: which examples reach both networks alike, bool, shape (num_examples,); the bound on
            differences is for them. All do by default.

    Returns:
        A certificate; nothing is raised for problems.
    """
    wanted = expected if isinstance(expected, Mapping) else {heads[0].name: expected}
    outputs = answers.outputs if len(heads) > 1 else answers.outputs[heads[0].name]
    before, after = (_by_head(evaluate_heads(heads, split, each)) for each in (expected, outputs))
    found = tuple(
        _head_parity(head, wanted[head.name], answers.outputs[head.name], *pair)
        for head, *pair in zip(heads, before, after, strict=True)
    )
    repeat_difference = max(
        float(np.abs(answers.outputs[head.name] - answers.repeated[head.name]).max())
        for head in heads
    )
    rows = np.ones(len(split), bool) if same is None else same
    bounded = {
        head.name: float(_differences(head, wanted, answers)[rows].max(initial=0.0))
        for head in heads
    }
    problems = tuple(_problems(found, bounded, repeat_difference, budget))
    if same is not None and rows.any():
        notes = [
            *notes,
            f"Of the {int(rows.sum())} of {len(split)} examples that reach both alike, the largest "
            f"difference is {max(bounded.values()):.1e}.",
        ]
    size, digest = size_and_digest(export)
    return Certificate(
        runtime=answers.runtime,
        num_examples=len(split),
        heads=found,
        repeat_difference=repeat_difference,
        tolerance=budget.tolerance,
        max_drop=budget.max_drop,
        problems=problems,
        overridden=bool(problems) and budget.allow_drop,
        latency_ms=answers.latency_ms,
        size_bytes=size,
        sha256=digest,
        calibration=calibration,
        versions={package: _version(package) for package in _PACKAGES},
        notes=tuple(notes),
    )


def size_and_digest(export: Path) -> tuple[int, str]:
    """Return an export's size in bytes and the SHA-256 of its files with their relative names."""
    files = sorted(p for p in export.rglob("*") if p.is_file()) if export.is_dir() else [export]
    digest = hashlib.sha256()
    size = 0
    for file in files:
        content = file.read_bytes()
        size += len(content)
        name = file.relative_to(export).as_posix() if export.is_dir() else ""
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return size, digest.hexdigest()


def _by_head(evaluation: Evaluation) -> tuple[Evaluation, ...]:
    return (evaluation, *evaluation.others)


def _quoted(evaluation: Evaluation) -> dict[str, Interval]:
    return {name: evaluation.intervals[name] for name in _METRICS[evaluation.task]}


def _head_parity(
    head: HeadSpec,
    expected: np.ndarray,
    received: np.ndarray,
    before: Evaluation,
    after: Evaluation,
) -> HeadParity:
    scale = _scale(head)
    difference = np.abs(expected.astype(np.float64) - received)
    agreement = None
    if head.task == "multiclass":
        agreement = float(np.mean(expected.argmax(1) == received.argmax(1)))
        drop = before.accuracy - after.accuracy
    elif head.task == TAGS:
        read = expected.any(axis=-1)
        agreement = float(np.mean((expected.argmax(-1) == received.argmax(-1))[read]))
        drop = before.metrics["entity_f1"] - after.metrics["entity_f1"]
    elif head.task == "multilabel":
        agreement = float(np.mean((expected > _THRESHOLD) == (received > _THRESHOLD)))
        drop = before.metrics["macro_f1"] - after.metrics["macro_f1"]
    else:
        difference = difference / scale
        errors = [[row["rmse"] for row in e.per_class.values()] for e in (before, after)]
        drop = float(np.mean((np.array(errors[1]) - errors[0]) / scale))
    return HeadParity(
        head=head.name,
        task=head.task,
        max_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        agreement=agreement,
        metric=before.headline,
        before=_quoted(before),
        after=_quoted(after),
        drop=drop,
    )


def _scale(head: HeadSpec) -> np.ndarray:
    # Quantities of different units are comparable in deviations only.
    return np.array(head.scale) if head.scale else np.ones(1)


def _differences(
    head: HeadSpec, expected: Mapping[str, np.ndarray], answers: Answers
) -> np.ndarray:
    gap = np.abs(expected[head.name].astype(np.float64) - answers.outputs[head.name])
    return gap / _scale(head)


def _problems(
    heads: Sequence[HeadParity],
    bounded: Mapping[str, float],
    repeat_difference: float,
    budget: Budget,
) -> list[str]:
    problems = []
    for head in heads:
        which = f" of {head.head!r}" if len(heads) > 1 else ""
        value = "value" if head.task == "regression" else "probability"
        largest = bounded[head.head]
        if budget.tolerance is not None and not largest <= budget.tolerance:
            problems.append(
                f"a {value}{which} differs by {largest:.1e}, allowed is {budget.tolerance:.0e}"
            )
        if not head.drop <= budget.max_drop + 1e-9:
            change = "error" if head.task == "regression" else head.metric.replace("_", " ")
            verb = "rises" if head.task == "regression" else "falls"
            problems.append(
                f"{change}{which} {verb} by {head.drop:.3f}, allowed is {budget.max_drop:.3f}"
            )
    if not repeat_difference <= _REPEAT_TOLERANCE:
        problems.append(
            f"two runs on the same examples differ by {repeat_difference:.1e}: "
            "something random is left in the graph"
        )
    return problems


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
