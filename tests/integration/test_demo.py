"""The demo makes everything it says, on real digits."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import tftune
from tftune.cli.main import app


def test_the_demo_learns_and_its_exports_agree(tmp_path):
    out = tmp_path / "demo"
    done = subprocess.run(
        [sys.executable, "-m", "tftune", "demo", "--output", out, "--json", "-q"],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    told = json.loads(done.stdout)
    accuracy = told["evaluation"]["metrics"]["accuracy"]
    assert accuracy >= 0.85
    for made, name in zip(told["exports"], ("digits/1", "digits.tflite"), strict=True):
        assert made["path"] == str(out / "saved_models" / name)
        assert made["certificate"]["passed"] and made["certificate"]["num_examples"] == 70
    assert (out / "saved_models" / "digits" / "1" / "saved_model.pb").exists()
    assert (out / "saved_models" / "digits.tflite").exists()
    _the_run_knows_its_data_and_can_be_repeated(out, accuracy)
    again = CliRunner().invoke(app, ["demo", "--output", str(out)])
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr


def _the_run_knows_its_data_and_can_be_repeated(out, accuracy):
    shown = CliRunner().invoke(app, ["evaluate", str(out / "run"), "--json", "-q"])
    measured = json.loads(shown.stdout)["metrics"]["accuracy"]
    assert measured == pytest.approx(accuracy, abs=1e-6), shown.output
    again = ["train", "--config", str(out / "run" / "run.json"), "--dry-run", "--json"]
    planned = tftune.Plan.from_json(json.loads(CliRunner().invoke(app, again).stdout))
    assert planned.phases == tftune.Plan.load(out / "run" / "plan.json").phases
