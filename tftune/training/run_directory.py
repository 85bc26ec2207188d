"""What a run leaves on disk."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any

from tftune.atomic import replaced_folder, write_json
from tftune.errors import OutputExistsError
from tftune.results.training_run import TrainingRun

_PACKAGES = ("tftune", "tensorflow", "keras", "numpy", "scikit-learn", "ai-edge-litert")


def check_output(output: str | os.PathLike[str] | None, overwrite: bool) -> None:
    """Raise OutputExistsError if a run directory is taken.

    Args:
        output: the run directory; None is never taken.
        overwrite: whether replacing it was asked for.
    """
    if output is None or not Path(output).exists():
        return
    if not overwrite:
        raise OutputExistsError(
            f"`output` {str(output)!r} exists. Choose another name, or overwrite it (--overwrite)."
        )
    if not (Path(output) / "plan.json").is_file() and any(Path(output).iterdir()):
        raise OutputExistsError(
            f"`output` {str(output)!r} is not a run directory (it holds no plan.json), so it is "
            "not overwritten. Choose another name."
        )


def write_run(run: TrainingRun, output: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Write a run directory as a whole.

    Args:
        run: what to write: plan.json, environment.json, history.csv, metrics.json, model.keras.
        output: the folder.
        overwrite: replace an existing run directory once the new one is complete.

    Raises:
        OutputExistsError: if the folder exists and `overwrite` is False.
    """
    check_output(output, overwrite)
    finished = Path(output)
    with replaced_folder(finished, overwrite=overwrite) as folder:
        run.plan.save(folder / "plan.json")
        write_json(folder / "environment.json", describe_environment())
        run.history.to_csv(folder / "history.csv", index=False)
        write_json(
            folder / "metrics.json",
            {
                "validation": {name: e.to_json() for name, e in run.validation.items()},
                "verdict": run.verdict,
                "timings_seconds": dict(run.timings),
                "data_fingerprint": run.data_fingerprint,
            },
        )
        run.model.save(folder / "model.keras")


def describe_environment() -> dict[str, Any]:
    """Return versions and the machine, without anything that names a person or a place."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "packages": versions,
    }
