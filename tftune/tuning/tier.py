"""One tier of a search: an oracle, what runs its trials, and what they left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from tftune.config.plan import Plan
from tftune.progress import Progress
from tftune.tuning.budget import Clock
from tftune.tuning.head_trials import Outcome
from tftune.tuning.objective import Objective
from tftune.tuning.oracles import COMPLETED
from tftune.tuning.ranges import decoded, shown
from tftune.tuning.trial_log import TrialLog
from tftune.tuning.trial_records import keep_weights, read_record, read_weights
from tftune.tuning.tuner import RunTrial, TrialTuner

_EPOCHS = "tuner/epochs"


class Tier:
    """A search of keras-tuner's over one kind of trial.

    Args:
        name: "head" or "fine-tuning".
        run: runs a trial; without values, the default plan's.
        oracle: chooses values.
        ranges: what values are chosen from, by name.
        objective: what trials are compared by.
        folder: where its state is kept.
        kept: how many of the best trials keep their weights.
    """

    def __init__(
        self,
        name: str,
        run: RunTrial,
        oracle: Any,
        ranges: Mapping[str, Any],
        objective: Objective,
        folder: Path,
        kept: int,
    ) -> None:
        self.name = name
        self.ranges = ranges
        self.oracle = oracle
        self.folder = folder
        self._run = run
        self._objective = objective
        self._kept = kept
        self._prefix = "" if name == "head" else "f"
        self.default_name = "default" if name == "head" else "default, fine-tuned"
        self.default = run({}, None)

    def search(
        self,
        clock: Clock,
        progress: Progress,
        log: TrialLog,
        spread: Callable[[Any, Callable[[], None]], None] | None = None,
    ) -> None:
        """Run trials until the oracle has no more or time is up.

        Args:
            clock: tells when time is up.
            progress: shows how far it is.
            log: is told of every trial that ended.
            spread: runs the oracle's trials in other processes; None runs them here.
        """
        self.oracle.out_of_time = clock.is_over
        step = progress.step(f"{self.name} trials")

        def on_end() -> None:
            keep_weights(self.folder, self.oracle, self._kept)
            ended = self.oracle.finished()
            best = self.oracle.get_best_trials(1)
            note = ""
            if best and best[0].score is not None:
                note = f"best {self._objective.name} {best[0].score:.4g}"
            if clock.left < float("inf"):
                note += f", {max(0, clock.left):.0f} s left"
            step(len(ended), self.oracle.max_trials or len(self.oracle.trials), note)
            for trial in ended:
                log.add(self._named(trial), self._chosen(trial), self._record(trial))

        tuner = TrialTuner(self.oracle, self._run, self._objective, self.folder, on_end)
        if spread is None:
            tuner.search()
        else:
            self.oracle.save()
            spread(self.oracle, on_end)

    def table(self) -> pd.DataFrame:
        """Return a row a trial that ended, in the order in which they began, the default first.

        Returns:
            Columns "trial", "tier", "status" ("done" or "failed"), the objective, what was
            searched, the figures, "epochs", "seconds" and "reason".
        """
        rows = [
            {
                "trial": self.default_name,
                "tier": self.name,
                "status": "done",
                self._objective.name: self._objective.value(self.default.figures),
                **dict.fromkeys(self.ranges),
                **self.default.figures,
                "epochs": self.default.plan.phases[-1].epochs,
                "seconds": float("nan"),
                "reason": "",
            }
        ]
        for trial in self.oracle.finished():
            record = self._record(trial)
            done = trial.status == COMPLETED
            plan = record.get("plan", {"phases": [{}]})
            epochs = trial.hyperparameters.values.get(_EPOCHS)
            rows.append(
                {
                    "trial": self._named(trial),
                    "tier": self.name,
                    "status": "done" if done else "failed",
                    self._objective.name: trial.score if done else float("nan"),
                    **self._chosen(trial),
                    **record.get("figures", {}),
                    "epochs": plan["phases"][-1].get("epochs", epochs),
                    "seconds": record.get("seconds", float("nan")),
                    "reason": record.get("reason", "unknown"),
                }
            )
        return pd.DataFrame(rows)

    def outcome(self, name: str) -> Outcome:
        """Return what a trial of the table came to, with its weights; trained again if need be."""
        if name == self.default_name:
            values, outcome = {}, self.default
        else:
            trial = next(t for t in self.oracle.finished() if self._named(t) == name)
            values = dict(trial.hyperparameters.values)
            outcome = _outcome_of(self._record(trial), read_weights(self.folder, trial.trial_id))
        if not outcome.weights:
            again = self._run(values, values.get(_EPOCHS), use_folds=False)
            outcome.weights = again.weights
        return outcome

    def settings_of(self, name: str) -> dict[str, Any]:
        """Return the values that a trial of the table was run with, as the oracle chose them."""
        if name == self.default_name:
            return {}
        trial = next(t for t in self.oracle.finished() if self._named(t) == name)
        return dict(trial.hyperparameters.values)

    def _record(self, trial: Any) -> dict[str, Any]:
        return read_record(self.folder, trial.trial_id)

    def _named(self, trial: Any) -> str:
        # keras-tuner counts from 0 and pads.
        return f"{self._prefix}{int(trial.trial_id) + 1}"

    def _chosen(self, trial: Any) -> dict[str, Any]:
        values = trial.hyperparameters.values
        return {
            name: _cell(decoded(value, values[name]))
            for name, value in self.ranges.items()
            if name in values
        }


def _outcome_of(record: dict[str, Any], weights: Mapping[str, Any]) -> Outcome:
    return Outcome(
        figures=record["figures"],
        plan=Plan.from_json(record["plan"]),
        backbone=record["backbone"],
        head={**record["head"], "hidden": tuple(record["head"]["hidden"])},
        weights=dict(weights),
    )


def _cell(value: Any) -> Any:
    return value if isinstance(value, (int, float, str)) else shown(value)
