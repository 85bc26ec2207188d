"""keras-tuner's oracles, made to bear a kill at any moment and trials that fail."""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from scipy.linalg import solve_triangular
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from threadpoolctl import threadpool_limits

from tftune.atomic import write_json
from tftune.errors import check_choice

ORACLES = ("random", "grid", "bayesian", "hyperband")
STOPPED, COMPLETED, FAILED = "STOPPED", "COMPLETED", "FAILED"


class _Durable:
    """Mixin over a keras-tuner oracle: whole files, an end of time, failures that stop nothing."""

    out_of_time: Callable[[], bool] = staticmethod(lambda: False)

    def save(self: Any) -> None:
        """Write the state in one piece; keras-tuner writes in place."""
        write_json(self._get_oracle_fname(), self.get_state())

    def _save_trial(self: Any, trial: Any) -> None:
        write_json(Path(self._get_trial_dir(trial.trial_id), "trial.json"), trial.get_state())

    def reload(self: Any) -> None:
        """Read the state, and put trials in the order in which they began."""
        super().reload()  # type: ignore[misc]
        # A kill between two files leaves a trial that the state does not know: it never began.
        self.trials = {name: self.trials[name] for name in self.start_order}

    @keras_tuner.synchronized
    def create_trial(self: Any, tuner_id: str) -> Any:
        """Return the next trial; one with the status "STOPPED" when time is up."""
        if tuner_id not in self.ongoing_trials and self.out_of_time():
            self.tuner_ids.discard(tuner_id)
            stopped = keras_tuner.engine.trial.Trial
            return stopped(self.get_space(), trial_id="none", status=STOPPED)
        return super().create_trial(tuner_id)  # type: ignore[misc]

    @keras_tuner.synchronized
    def end_trial(self: Any, trial: Any) -> None:
        """Record how a trial ended."""
        # What came over the wire is rounded, and a grid looks its values up.
        trial.hyperparameters = self.trials[trial.trial_id].hyperparameters
        super().end_trial(trial)  # type: ignore[misc]
        # The base class writes its state before the grid knows what comes next.
        self.save()

    def finished(self: Any) -> list[Any]:
        """Return the trials that ended, in the order in which they began."""
        ended = set(self.end_order)
        return [trial for name, trial in self.trials.items() if name in ended]


class RandomOracle(_Durable, keras_tuner.oracles.RandomSearchOracle):
    """Random points, none twice."""


class QuickRegressor(GaussianProcessRegressor):
    """The same answers; without the checks that cost ten times the work on a single point.

    keras-tuner asks for thousands of single points to choose the next one.
    """

    def predict(self, X: Any, return_std: bool = False, return_cov: bool = False) -> Any:  # noqa: N803
        """Return the mean at each point, and its standard deviation if asked for."""
        if not return_std or len(X) != 1 or not hasattr(self, "alpha_"):
            return super().predict(X, return_std, return_cov)
        # Matern kernel of nu = 2.5, as keras-tuner has it.
        steps = (self.X_train_ - X[0]) / self.kernel_.length_scale
        distance = math.sqrt(5) * np.sqrt(np.einsum("ij,ij->i", steps, steps))
        kernel = (1 + distance + distance * distance / 3) * np.exp(-distance)
        left = solve_triangular(self.L_, kernel, lower=True, check_finite=False)
        variance = max(0.0, 1.0 - float(left @ left))
        mean = self._y_train_std * float(kernel @ self.alpha_) + self._y_train_mean
        return np.array([mean]), np.array([math.sqrt(variance) * self._y_train_std])


class BayesianOracle(_Durable, keras_tuner.oracles.BayesianOptimizationOracle):
    """A Gaussian process and its upper confidence bound, after a few random points."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Choose the next point."""
        # A function of what was seen, so that a resumed search goes on as it would have.
        self._random_state = np.random.RandomState([self.seed, len(self.trials)])
        # BLAS threads that wait for one another cost more than such small products.
        with threadpool_limits(limits=1), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            response = super().populate_space(trial_id)
        if response["values"] and self._duplicate(response["values"]):
            return self._random_populate_space()  # choices alone: a best point may be an old one
        return response

    def _make_gpr(self) -> GaussianProcessRegressor:
        return QuickRegressor(**super()._make_gpr().get_params(deep=False))


class HyperbandOracle(_Durable, keras_tuner.oracles.HyperbandOracle):
    """Many short trials, of which the best are run for longer."""


class GridOracle(_Durable, keras_tuner.oracles.GridSearchOracle):
    """Every point once.

    What the base class leaves out of its state is kept here, without which a killed search would
    end early (keras-tuner#1055).
    """

    def get_state(self) -> dict[str, Any]:
        """Return all that decides which point comes next."""
        ordered, order = self._ordered_ids, []
        index = ordered._next_index[None]
        while index is not None:
            order.append(ordered._memory[index])
            index = ordered._next_index[index]
        return {
            **super().get_state(),
            "grid_order": order,
            "populate_next": list(self._populate_next),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over what `get_state` returned."""
        super().set_state(state)
        for trial_id in state["grid_order"]:
            self._ordered_ids.insert(trial_id)
        self._populate_next = list(state["populate_next"])


def make_oracle(
    name: str,
    space: keras_tuner.HyperParameters,
    objective: keras_tuner.Objective,
    trials: int | None,
    seed: int,
    max_epochs: int,
) -> Any:
    """Make an oracle.

    Args:
        name: one of `ORACLES`.
        space: what it chooses from.
        objective: what it is told of each trial, and whether more is better.
        trials: how many there may be; None only for a grid.
        seed: decides its random choices.
        max_epochs: epochs of Hyperband's longest trials.

    Raises:
        ConfigError: if the name is none of these.
    """
    check_choice("oracle", name, ORACLES)
    common: dict[str, Any] = {
        "objective": objective,
        "hyperparameters": space,
        "seed": seed + 1,  # keras-tuner takes 0 for "any"
        "max_consecutive_failed_trials": sys.maxsize,
    }
    if name == "hyperband":
        # Brackets go on until there are enough trials.
        oracle = HyperbandOracle(max_epochs=max_epochs, hyperband_iterations=trials, **common)
        oracle.max_trials = trials
    elif name == "bayesian":
        assert trials is not None
        # keras-tuner's default, three a dimension, would leave a short search to chance alone.
        first = max(3, min(3 * len(space.space), trials // 3))
        oracle = BayesianOracle(max_trials=trials, num_initial_points=first, **common)
    else:
        oracle = (GridOracle if name == "grid" else RandomOracle)(max_trials=trials, **common)
    oracle.verbose = 0
    return oracle


def state_file(folder: str | os.PathLike[str]) -> Path:
    """Return where an oracle that works in `folder` keeps its state."""
    return Path(folder) / "oracle.json"
