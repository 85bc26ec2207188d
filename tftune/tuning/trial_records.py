"""What each trial leaves beside keras-tuner's own state: its record, and weights of the best."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tftune.atomic import replaced_file, write_json
from tftune.tuning.head_trials import Outcome

_RECORD = "record.json"
_WEIGHTS = "weights.npz"


def trial_folder(folder: Path, trial_id: str) -> Path:
    """Return where keras-tuner keeps a trial, of a search in `folder`."""
    return folder / f"trial_{trial_id}"


def write_record(folder: Path, trial_id: str, seconds: float, outcome: Outcome) -> None:
    """Write how a trial ended well, and its weights."""
    place = trial_folder(folder, trial_id)
    if outcome.weights:
        with replaced_file(place / _WEIGHTS) as temporary, open(temporary, "wb") as stream:
            np.savez(stream, **outcome.weights)  # type: ignore[arg-type]
    write_json(
        place / _RECORD,
        {
            "seconds": seconds,
            "figures": outcome.figures,
            "backbone": outcome.backbone,
            "head": outcome.head,
            "plan": outcome.plan.to_json(),
            "reason": "; ".join(outcome.notes),
        },
    )


def write_failure(folder: Path, trial_id: str, seconds: float, reason: str) -> None:
    """Write why a trial failed."""
    write_json(trial_folder(folder, trial_id) / _RECORD, {"seconds": seconds, "reason": reason})


def read_record(folder: Path, trial_id: str) -> dict[str, Any]:
    """Read what was written of a trial; nothing if it did not end."""
    file = trial_folder(folder, trial_id) / _RECORD
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def read_weights(folder: Path, trial_id: str) -> Mapping[str, np.ndarray]:
    """Read a trial's weights by path; nothing if they were not kept."""
    file = trial_folder(folder, trial_id) / _WEIGHTS
    if not file.is_file():
        return {}
    with np.load(file) as held:
        return dict(held)


def keep_weights(folder: Path, oracle: Any, count: int) -> None:
    """Delete the weights of all but the best trials."""
    best = {trial.trial_id for trial in oracle.get_best_trials(count)}
    for trial in oracle.finished():
        if trial.trial_id not in best:
            (trial_folder(folder, trial.trial_id) / _WEIGHTS).unlink(missing_ok=True)
