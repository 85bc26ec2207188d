"""Runs are compared by what they left on disk."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from tftune.atomic import write_json
from tftune.cli.main import app
from tftune.config.phase import Phase
from tftune.config.plan import Plan
from tftune.errors import ConfigError, DataError, ModelFileError
from tftune.evaluation.evaluate import evaluate_predictions
from tftune.reports.compare_runs import compare_runs
from tftune.results.predictions import Predictions


def _run(folder, right, rate=1e-3, start=0):
    folder.mkdir()
    right = np.asarray(right, float)
    Plan((Phase("fine_tuning", "none", epochs=1, learning_rate=rate),)).save(folder / "plan.json")
    predictions = Predictions(
        labels=np.zeros(len(right), int),
        outputs=np.stack([0.2 + 0.6 * right, 0.8 - 0.6 * right], axis=1),
        logits=None,
        indices=np.arange(len(right)),
        names=tuple(map(str, range(len(right)))),
        fingerprints=tuple(f"digest {start + index}" for index in range(len(right))),
    )
    evaluation = evaluate_predictions(predictions, "multiclass", ("x", "y"))
    write_json(folder / "environment.json", {"python": "3.11", "packages": {"keras": "3.15"}})
    write_json(folder / "data.json", {"fingerprint": f"abc{start}" * 4, "splits": {}})
    write_json(folder / "metrics.json", {"validation": {"fine_tuning": evaluation.to_json()}})
    predictions.save(folder / "validation.npz")
    return folder


@pytest.fixture
def runs(tmp_path):
    return [
        _run(tmp_path / "weak", [1] * 60 + [0] * 40),
        _run(tmp_path / "strong", [1] * 95 + [0] * 5, rate=1e-2),
    ]


def test_what_differs_and_who_is_better(runs):
    compared = compare_runs(runs)
    assert compared.changed == {"plan.phases.fine_tuning.learning_rate": ("0.001", "0.01")}
    assert compared.sentence == "strong is the best, for certain."
    assert compared.scores["weak"].value == 0.6
    shown = " ".join(str(compared).split())
    assert "strong is better for certain: accuracy 0.600 (weak) against 0.950 (strong)" in shown


def test_the_command_prints_the_same(runs, same_text):
    same_text("compare", CliRunner().invoke(app, ["compare", *map(str, runs)]).output)
    done = CliRunner().invoke(app, ["compare", *map(str, runs), "--json"])
    assert json.loads(done.stdout) == json.loads(json.dumps(compare_runs(runs).to_json()))


def test_a_lead_that_may_be_chance_is_called_that(tmp_path):
    runs = [_run(tmp_path / "a", [1, 1, 0, 1]), _run(tmp_path / "b", [1, 0, 0, 1])]
    assert "is not certain" in compare_runs(runs).sentence


def test_runs_on_other_examples_are_shown_but_not_judged(tmp_path):
    runs = [_run(tmp_path / "a", [1, 1, 0]), _run(tmp_path / "b", [1, 0, 0], start=10)]
    compared = compare_runs(runs)
    assert not compared.comparisons
    assert "cannot be compared example by example" in compared.notes[0]
    assert "data.fingerprint" in compared.changed


def test_runs_of_one_name_are_told_apart_by_their_folders(runs, tmp_path):
    (tmp_path / "more").mkdir()
    other = _run(tmp_path / "more" / "weak", [1] * 70 + [0] * 30)
    names = compare_runs([*runs, other]).names
    assert len(set(names)) == 3
    assert names[2] == "more/weak"


def test_what_is_no_run_is_refused_in_a_sentence(runs, tmp_path):
    with pytest.raises(ConfigError, match="at least two"):
        compare_runs(runs[:1])
    with pytest.raises(ConfigError, match="different run directories"):
        compare_runs([runs[0], runs[0]])
    with pytest.raises(ModelFileError, match="is not a finished run"):
        compare_runs([runs[0], tmp_path])
    metrics = json.loads((runs[1] / "metrics.json").read_text())
    metrics["validation"]["fine_tuning"]["task"] = "multilabel"
    write_json(runs[1] / "metrics.json", metrics)
    with pytest.raises(DataError, match="same question"):
        compare_runs(runs)
