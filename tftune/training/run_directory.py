"""What a run leaves on disk."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

from tftune.atomic import replaced_file, replaced_folder, write_json
from tftune.config.plan import Plan
from tftune.data.dataset import Dataset
from tftune.errors import OutputExistsError, ResumeError
from tftune.evaluation.record import write_record
from tftune.results.training_run import TrainingRun

_RUN_FILE = Path("checkpoints") / "run.json"
_LAST_FILE = "metrics.json"
_PACKAGES = ("tftune", "tensorflow", "keras", "numpy", "scikit-learn", "ai-edge-litert")


def check_output(output: str | os.PathLike[str] | None, overwrite: bool) -> None:
    """Raise OutputExistsError if a run directory is taken by a finished run or by something else.

    Args:
        output: the run directory; None is never taken.
        overwrite: whether replacing it was asked for.
    """
    if output is None or not Path(output).exists() or is_unfinished(Path(output)):
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


def is_unfinished(folder: Path) -> bool:
    """Tell whether a folder holds a run that began and did not end."""
    return (folder / _RUN_FILE).is_file() and not (folder / _LAST_FILE).is_file()


def begin_run(
    output: str | os.PathLike[str], overwrite: bool, plan: Plan, digests: dict[str, str]
) -> Path:
    """Make a run directory, or find the unfinished one that the same call left.

    A finished run that is to be overwritten stays until the new one is complete; the new one grows
    beside it.

    Args:
        output: the run directory.
        overwrite: replace a finished run, or an unfinished one of something else.
        plan: what will be done.
        digests: what it will be done to, by name ("data", "model").

    Returns:
        The folder to work in.

    Raises:
        OutputExistsError: if the folder is taken and `overwrite` is False.
        ResumeError: if it holds an unfinished run of another plan, data or model.
    """
    check_output(output, overwrite)
    folder = Path(output)
    if (folder / _LAST_FILE).is_file():
        folder = folder.with_name(f"{folder.name}.unfinished")
    asked = {"plan": plan.to_json(), **digests}
    # As JSON gives it back, so that tuples and lists do not differ.
    asked = json.loads(json.dumps(asked))
    if is_unfinished(folder):
        found = json.loads((folder / _RUN_FILE).read_text(encoding="utf-8"))
        changed = _changes(found, asked)
        if not changed:
            return folder
        if not overwrite:
            raise ResumeError(
                f"{str(folder)!r} holds an unfinished run of something else. Changed: "
                f"{'; '.join(changed)}. Continue it with what it began with, choose another "
                "`output`, or start anew (--overwrite)."
            )
        shutil.rmtree(folder)
    with replaced_folder(folder, overwrite=overwrite) as temporary:
        plan.save(temporary / "plan.json")
        write_json(temporary / "environment.json", describe_environment())
        write_json(temporary / _RUN_FILE, asked)
    return folder


def finish_run(
    run: TrainingRun, data: Dataset, folder: Path, output: str | os.PathLike[str]
) -> None:
    """Write what a finished run leaves: the model, its answers and, last, metrics.json.

    Args:
        run: what to write.
        data: what it was trained and judged on.
        folder: where the work went on; it becomes `output`.
        output: the run directory.
    """
    run.model.save(folder / "model.keras")
    with replaced_file(folder / "history.csv") as temporary:
        run.history.to_csv(temporary, index=False)
    write_record(folder, list(run.validation.values())[-1], data)
    write_json(
        folder / _LAST_FILE,
        {
            "validation": {name: e.to_json() for name, e in run.validation.items()},
            "verdict": run.verdict.to_json(),
            "timings_seconds": dict(run.timings),
            "notes": list(run.notes),
            "data_fingerprint": run.data_fingerprint,
        },
    )
    if folder != Path(output):
        with replaced_folder(output, overwrite=True) as temporary:
            temporary.rmdir()
            os.rename(folder, temporary)


def checkpoint_folder(folder: Path) -> Path:
    """Return where a run directory keeps its checkpoints."""
    return folder / _RUN_FILE.parent


def _changes(found: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    """Name every setting that differs; reasons and costs only explain, so they may."""
    changed = [f"the {name}" for name in asked if name != "plan" and found.get(name) != asked[name]]
    old, new = found.get("plan", {}), asked["plan"]
    for name in new:
        if name in ("reasons", "costs", "phases") or old.get(name) == new[name]:
            continue
        changed.append(f"plan.{name} was {old.get(name)!r}, is {new[name]!r}")
    phases = old.get("phases", [])
    if len(phases) != len(new["phases"]):
        return [*changed, f"the plan had {len(phases)} phases, has {len(new['phases'])}"]
    for index, (before, after) in enumerate(zip(phases, new["phases"], strict=True)):
        for name in after:
            if before.get(name) != after[name]:
                told = f"was {before.get(name)!r}, is {after[name]!r}"
                changed.append(f"plan.phases[{index}].{name} {told}")
    return changed


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
