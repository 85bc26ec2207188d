"""The oracles find a known optimum, bear kills and failures, and go on as if nothing had been."""

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time

import keras_tuner
import numpy as np
import pytest
from sklearn import gaussian_process

from tftune.config.phase import Phase
from tftune.config.plan import Plan
from tftune.errors import ConfigError
from tftune.tuning.head_trials import Outcome
from tftune.tuning.objective import Objective
from tftune.tuning.oracles import ORACLES, QuickRegressor, make_oracle
from tftune.tuning.ranges import Choice, Float, Int, hyperparameter
from tftune.tuning.trial_records import read_record
from tftune.tuning.tuner import TrialTuner

_BUDGETS = {"random": 40, "grid": 56, "bayesian": 15, "hyperband": 30}
_GOAL = Objective({"accuracy": 1.0}, more_is_better=True)
_PLAN = Plan((Phase("feature_extraction", "none", 1, 0.1),))
_RANGES = {
    "rate": Float(1e-4, 1e-1, log=True, step=10**0.5),
    "units": Choice(8, 16, 32, 64),
    "kind": Choice("a", "b"),
}


def _scripted(values, epochs=None):
    """At most 1, at rate 0.01, 32 units and kind b; more epochs show more of it."""
    away = (math.log10(values["rate"]) + 2) ** 2 / 9 + math.log2(values["units"] / 32) ** 2 / 64
    away += 0.1 * (values["kind"] == "a")
    accuracy = 1 - away - 0.02 * (1 - (epochs or 9) / 9)
    return Outcome({"accuracy": accuracy, "loss": away}, _PLAN, "none", {}, {})


def _tuner(name, folder, run=_scripted, trials=40, ranges=_RANGES):
    space = keras_tuner.HyperParameters()
    space.merge([hyperparameter(n, r) for n, r in ranges.items()])
    oracle = make_oracle(name, space, _GOAL.for_keras_tuner(), trials, 0, max_epochs=9)
    return TrialTuner(oracle, run, _GOAL, folder)


def _points(tuner):
    return [
        tuple(sorted((n, v) for n, v in t.hyperparameters.values.items() if "tuner/" not in n))
        for t in tuner.oracle.finished()
    ]


@pytest.mark.parametrize("name", ORACLES)
def test_each_oracle_comes_within_a_twentieth_of_a_known_optimum(name, tmp_path):
    tuner = _tuner(name, tmp_path / name, trials=_BUDGETS[name])
    tuner.search()
    assert tuner.oracle.get_best_trials(1)[0].score >= 0.95


def test_a_grid_visits_every_point_once(tmp_path):
    tuner = _tuner("grid", tmp_path / "grid", trials=None)
    tuner.search()
    points = _points(tuner)
    assert len(points) == len(set(points)) == 7 * 4 * 2


@pytest.mark.parametrize("name", ORACLES)
def test_a_search_stopped_in_a_trial_ends_as_one_that_was_not(name, tmp_path):
    trials = 8 if name == "bayesian" else 14  # the Gaussian process takes its time
    whole = _tuner(name, tmp_path / "whole", trials=trials)
    whole.search()
    begun = []

    def stopped(values, epochs=None):
        begun.append(values)
        if len(begun) in (3, 7):
            raise KeyboardInterrupt  # like a kill: nothing of ours runs after it
        return _scripted(values, epochs)

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            _tuner(name, tmp_path / "parts", stopped, trials=trials).search()
    parts = _tuner(name, tmp_path / "parts", trials=trials)
    parts.search()
    assert len(parts.oracle.finished()) == trials
    assert sorted(_points(parts)) == sorted(_points(whole))


def test_a_trial_that_was_not_yet_known_to_the_oracle_is_forgotten(tmp_path):
    tuner = _tuner("random", tmp_path / "r", trials=2)
    tuner.search()
    stray = tmp_path / "r" / "trial_7"
    stray.mkdir()
    known = (tmp_path / "r" / "trial_1" / "trial.json").read_text()
    (stray / "trial.json").write_text(known.replace('"trial_id": "1"', '"trial_id": "7"'))
    again = _tuner("random", tmp_path / "r", trials=3)
    again.search()
    assert len(again.oracle.finished()) == 3


@pytest.mark.parametrize("name", ORACLES)
def test_trials_that_fail_are_recorded_with_their_reason_and_stop_nothing(name, tmp_path):
    def failing(values, epochs=None):
        if values["kind"] == "b":
            raise ConfigError("`kind` b is not for today.")
        return _scripted(values, epochs)

    trials = 8 if name == "bayesian" else 20
    tuner = _tuner(name, tmp_path / name, failing, trials=trials)
    tuner.search()
    ended = tuner.oracle.finished()
    assert len(ended) == trials
    failed = [trial for trial in ended if trial.status == "FAILED"]
    assert failed and len(failed) < trials
    reasons = {read_record(tmp_path / name, trial.trial_id)["reason"] for trial in failed}
    assert reasons == {"`kind` b is not for today."}


def test_a_trial_whose_objective_is_no_number_has_failed(tmp_path):
    def nothing(values, epochs=None):
        return Outcome({"accuracy": float("nan")}, _PLAN, "none", {}, {})

    tuner = _tuner("random", tmp_path / "r", nothing, trials=5)
    tuner.search()
    assert {trial.status for trial in tuner.oracle.finished()} == {"FAILED"}
    assert "nan" in read_record(tmp_path / "r", "0")["reason"]


def test_time_that_is_up_begins_no_trial(tmp_path):
    tuner = _tuner("random", tmp_path / "r")
    tuner.oracle.out_of_time = lambda: len(tuner.oracle.trials) >= 3
    tuner.search()
    assert len(tuner.oracle.finished()) == 3


def test_more_trials_go_on_with_a_search_that_ended(tmp_path):
    first = _tuner("random", tmp_path / "r", trials=9)
    first.search()
    more = _tuner("random", tmp_path / "r", trials=12)
    more.search()
    assert _points(more)[:9] == _points(first) and len(_points(more)) == 12


def test_a_process_killed_in_a_trial_loses_that_trial_alone(tmp_path):
    program = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        import importlib.util
        spec = importlib.util.spec_from_file_location("scripted", sys.argv[1])
        scripted = importlib.util.module_from_spec(spec); spec.loader.exec_module(scripted)
        def slow(values, epochs=None):
            time.sleep(0.05)
            return scripted._scripted(values, epochs)
        scripted._tuner("grid", Path(sys.argv[2]), slow, trials=None).search()
        """
    )
    folder = tmp_path / "grid"
    process = subprocess.Popen([sys.executable, "-c", program, __file__, str(folder)])
    try:
        while process.poll() is None:
            state = folder / "oracle.json"
            if state.exists() and len(json.loads(state.read_text())["end_order"]) >= 5:
                break
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    tuner = _tuner("grid", folder, trials=None)
    assert 5 <= len(tuner.oracle.finished()) < 56
    tuner.search()
    assert len(set(_points(tuner))) == 56
    assert not [name for name in os.listdir(folder) if name.startswith(".")]


def test_whole_numbers_and_any_hyperparameter_of_keras_tuner_can_be_searched(tmp_path):
    ranges = {"a": Int(1, 3), "b": keras_tuner.engine.hyperparameters.Boolean("whatever")}

    def run(values, epochs=None):
        return Outcome({"accuracy": values["a"] + values["b"]}, _PLAN, "none", {}, {})

    tuner = _tuner("grid", tmp_path / "g", run, None, ranges)
    tuner.search()
    assert len(set(_points(tuner))) == 6


def test_the_quick_gaussian_process_answers_as_scikit_learns_does():
    generator = np.random.default_rng(0)
    x, y = generator.random((30, 5)), generator.random(30)
    kernel = gaussian_process.kernels.Matern(nu=2.5)
    settings = {"kernel": kernel, "normalize_y": True, "alpha": 1e-4, "random_state": 1}
    usual = gaussian_process.GaussianProcessRegressor(**settings).fit(x, y)
    quick = QuickRegressor(**settings).fit(x, y)
    for point in generator.random((20, 1, 5)):
        np.testing.assert_allclose(
            quick.predict(point, return_std=True), usual.predict(point, return_std=True), rtol=1e-6
        )
