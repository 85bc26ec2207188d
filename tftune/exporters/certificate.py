"""Comparing an export's answers with the Keras model's on held-out examples."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tftune.builders.transfer_model import TransferModel
from tftune.data.dataset import Split
from tftune.errors import ExportError
from tftune.evaluation.evaluate import check_classes, predict_split
from tftune.evaluation.metrics import classification_evaluation
from tftune.results.export import Certificate

# Two runs of one export may differ where threads add in another order, by no more than rounding.
_REPEAT_TOLERANCE = 1e-5
_PACKAGES = ("tftune", "tensorflow", "keras", "ai-edge-litert", "numpy")


@dataclass(frozen=True)
class Answers:
    """What an export answered.

    Attributes:
        runtime: what ran it, with its version.
        probabilities: shape (num_examples, num_classes).
        repeated: the same from a second run.
        latency_ms: median milliseconds an example.
    """

    runtime: str
    probabilities: np.ndarray
    repeated: np.ndarray
    latency_ms: float


@dataclass(frozen=True)
class Budget:
    """How far an export may be from its model.

    Attributes:
        tolerance: the largest difference of a probability; None bounds the accuracy alone.
        max_drop: the largest loss of accuracy, in [0, 1].
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
) -> Certificate:
    """Give the same examples to the Keras model and to its export.

    Args:
        model: the Keras side.
        split: held-out examples.
        run: runs the export.
        export: the file or folder that was written.
        budget: how far it may be from the model.
        calibration: what set the ranges of an 8-bit export.

    Returns:
        The certificate.

    Raises:
        DataError: if the split's classes are not the model's.
        ExportError: if the export is past its budget and that was not allowed.
    """
    check_classes(model, split)
    certificate = compare(
        predict_split(model, split), run(split), split, export, budget, calibration
    )
    if certificate.problems and not budget.allow_drop:
        raise ExportError(
            f"The export does not give the model's answers on {len(split)} examples: "
            f"{'; '.join(certificate.problems)}. Nothing was written."
        )
    return certificate


def compare(
    expected: np.ndarray,
    answers: Answers,
    split: Split,
    export: Path,
    budget: Budget,
    calibration: Mapping[str, Any] | None = None,
) -> Certificate:
    """Measure how far an export's answers are from the expected ones.

    Args:
        expected: the Keras model's probabilities, shape (num_examples, num_classes).
        answers: the export's.
        split: the examples both saw.
        export: the file or folder.
        budget: decides what counts as a problem.
        calibration: recorded as it is.

    Returns:
        A certificate; nothing is raised for problems.
    """
    received = answers.probabilities
    difference = np.abs(expected.astype(np.float64) - received)
    before, after = (
        classification_evaluation(p, split.labels, split.class_names) for p in (expected, received)
    )
    measured = {
        "max_difference": float(difference.max()),
        "repeat_difference": float(np.abs(received - answers.repeated).max()),
        "drop": before.accuracy - after.accuracy,
    }
    problems = tuple(_problems(measured, budget))
    size, digest = size_and_digest(export)
    return Certificate(
        runtime=answers.runtime,
        num_examples=len(split),
        max_difference=measured["max_difference"],
        mean_difference=float(difference.mean()),
        label_agreement=float(np.mean(expected.argmax(1) == received.argmax(1))),
        repeat_difference=measured["repeat_difference"],
        accuracy_before=before.intervals["accuracy"],
        accuracy_after=after.intervals["accuracy"],
        macro_f1_before=before.intervals["macro_f1"],
        macro_f1_after=after.intervals["macro_f1"],
        tolerance=budget.tolerance,
        max_drop=budget.max_drop,
        problems=problems,
        overridden=bool(problems) and budget.allow_drop,
        latency_ms=answers.latency_ms,
        size_bytes=size,
        sha256=digest,
        calibration=calibration,
        versions={package: _version(package) for package in _PACKAGES},
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


def _problems(measured: Mapping[str, float], budget: Budget) -> list[str]:
    problems = []
    if budget.tolerance is not None and not measured["max_difference"] <= budget.tolerance:
        problems.append(
            f"a probability differs by {measured['max_difference']:.1e}, "
            f"allowed is {budget.tolerance:.0e}"
        )
    if not measured["drop"] <= budget.max_drop + 1e-9:
        problems.append(
            f"accuracy falls by {measured['drop']:.3f}, allowed is {budget.max_drop:.3f}"
        )
    if not measured["repeat_difference"] <= _REPEAT_TOLERANCE:
        problems.append(
            f"two runs on the same examples differ by {measured['repeat_difference']:.1e}: "
            "something random is left in the graph"
        )
    return problems


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
