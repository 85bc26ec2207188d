"""Reading a finished run directory."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tftune.config.model_spec import ModelSpec
from tftune.config.plan import Plan
from tftune.errors import ModelFileError
from tftune.evaluation.record import DATA_FILE, read_json, read_thumbnails, read_validation
from tftune.results.evaluation import Evaluation


@dataclass(frozen=True, eq=False)
class RunFiles:
    """What a run directory holds.

    Attributes:
        name: the directory's name.
        folder: where it is.
        plan: what was done.
        history: one row an epoch.
        metrics: verdict, timings, notes and the data's fingerprint.
        environment: versions and the machine.
        data: what the data was; empty for a run of an older version.
        validation: of the kept weights.
        thumbnails: JPEG files by row of the validation's predictions.
        spec: what the model is; None where model.keras is gone.
    """

    name: str
    folder: Path
    plan: Plan
    history: pd.DataFrame
    metrics: Mapping[str, Any]
    environment: Mapping[str, Any]
    data: Mapping[str, Any]
    validation: Evaluation
    thumbnails: Mapping[int, bytes]
    spec: ModelSpec | None


def read_run(run: str | os.PathLike[str]) -> RunFiles:
    """Read a finished run.

    Args:
        run: a run directory.

    Raises:
        ModelFileError: if there is none, or it is not finished, in a sentence.
    """
    folder = Path(run)
    if not folder.is_dir():
        raise ModelFileError(f"There is no run at {str(run)!r}. Give a folder that training wrote.")
    metrics = read_json(folder / "metrics.json")
    plan = Plan.load(folder / "plan.json")
    try:
        history = pd.read_csv(folder / "history.csv")
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{str(folder)!r} has no readable history.csv: {error}.") from error
    return RunFiles(
        name=folder.resolve().name,
        folder=folder,
        plan=plan,
        history=history,
        metrics=metrics,
        environment=read_json(folder / "environment.json"),
        data=read_json(folder / DATA_FILE) if (folder / DATA_FILE).exists() else {},
        validation=read_validation(folder, metrics),
        thumbnails=read_thumbnails(folder),
        spec=_spec(folder / "model.keras"),
    )


def _spec(file: Path) -> ModelSpec | None:
    try:
        with zipfile.ZipFile(file) as archive:
            return ModelSpec.from_json(json.loads(archive.read("tftune.json")))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError):
        return None
