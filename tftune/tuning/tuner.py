"""The tuner: asks the oracle, runs a trial, records how it ended, and goes on if it failed."""

from __future__ import annotations

import contextlib
import io
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner

from tftune.errors import NonFiniteLossError, TftuneError
from tftune.tuning.head_trials import Outcome
from tftune.tuning.objective import Objective
from tftune.tuning.oracles import COMPLETED, FAILED, state_file
from tftune.tuning.trial_records import write_failure, write_record

_IDLE_SECONDS = 0.2
_EPOCHS = "tuner/epochs"

RunTrial = Callable[..., Outcome]
"""Takes values and, from Hyperband, a number of epochs; see `HeadTrials`."""


class TrialTuner(keras_tuner.engine.base_tuner.BaseTuner):
    """keras-tuner's loop around trials that are not Keras models to be built and saved.

    Args:
        oracle: chooses values. In a worker process keras-tuner puts its client in its place.
        run: runs a trial, given values and, from Hyperband, a number of epochs.
        objective: makes one number of a trial's figures.
        folder: where state and records are kept; what is there is gone on with.
        on_end: called after every trial.
    """

    def __init__(
        self,
        oracle: Any,
        run: RunTrial,
        objective: Objective,
        folder: Path,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._run = run
        self._objective = objective
        self._folder = folder
        self._on_end = on_end
        self._idle = False
        # It prints when it goes on with an earlier search.
        with contextlib.redirect_stdout(io.StringIO()):
            super().__init__(oracle, directory=str(folder.parent), project_name=folder.name)

    def run_trial(self, trial: Any, *args: Any, **settings: Any) -> dict[str, float]:
        """Run a trial and write its record.

        Returns:
            The number that the oracle compares; the record holds the figures it was made of.

        Raises:
            FailedTrialError: whatever went wrong; the record holds the reason.
        """
        values = dict(trial.hyperparameters.values)
        epochs = values.get(_EPOCHS)
        started = time.perf_counter()
        try:
            outcome = self._run(values, epochs)
            value = self._objective.value(outcome.figures)
            if not math.isfinite(value):
                raise NonFiniteLossError(f"The objective became {value}.")
        except Exception as error:
            reason = str(error) if isinstance(error, TftuneError) else _first_line(error)
            seconds = time.perf_counter() - started
            write_failure(self._folder, trial.trial_id, seconds, reason)
            raise keras_tuner.errors.FailedTrialError(reason) from error
        write_record(self._folder, trial.trial_id, time.perf_counter() - started, outcome)
        return {"objective": value}

    def _try_run_and_update_trial(self, trial: Any, *args: Any, **settings: Any) -> None:
        # The base class prints the traceback of every failure, on a screen that shows progress.
        try:
            self._run_and_update_trial(trial)
            trial.status = COMPLETED
        except keras_tuner.errors.FailedTrialError as failure:
            trial.status, trial.message = FAILED, str(failure)

    def pre_create_trial(self) -> None:
        """Wait a little before asking again, where the oracle had nothing to do."""
        if self._idle:
            time.sleep(_IDLE_SECONDS)
        self._idle = True

    def on_trial_end(self, trial: Any) -> None:
        """Tell the oracle how the trial ended."""
        self._idle = False
        self.oracle.end_trial(trial)
        self._on_end()

    def save(self) -> None:
        """Leave saving to the oracle, which has all the state there is."""

    def reload(self) -> None:
        """Let the oracle go on where it was, unless it is another process's."""
        if not self._is_worker():
            self.oracle.reload()

    def _get_tuner_fname(self) -> str:
        return str(state_file(self._folder))


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
