"""`tftune train` plans as it is told, follows a plan, and says both as JSON."""

import json

import pytest
from typer.testing import CliRunner

import tftune
from tftune.cli import console
from tftune.cli.main import app


@pytest.fixture
def train(monkeypatch, stripes_folder):
    monkeypatch.setattr(console, "import_tensorflow_quietly", lambda: None)

    def run(*arguments):
        given = ["train", stripes_folder, *arguments, "--image-size", 32, "--weights", "none"]
        return CliRunner().invoke(app, [str(argument) for argument in given])

    return run


def test_a_dry_run_prints_the_plan_that_was_asked_for_and_writes_nothing(train, tmp_path):
    out = tmp_path / "run"
    settings = "--head-epochs 3 --fine-tune-epochs 2 --unfreeze block7 --head-rate 0.01"
    settings += " --fine-tune-rate 0.001 --batch-size auto --optimizer lion"
    settings += " --augment light --views 3 --imbalance focal --cache disk --seed 4"
    done = train("--dry-run", "--json", "--output", out, *settings.split())
    assert done.exit_code == 0, done.output
    plan = tftune.Plan.from_json(json.loads(done.stdout))
    head, top = plan.phases
    assert (head.epochs, head.learning_rate, top.epochs, top.learning_rate) == (3, 0.01, 2, 0.001)
    assert (top.unfreeze, top.optimizer, top.batch_size) == ("block7", "lion", "auto")
    assert (plan.augment, plan.views, plan.cache, plan.seed) == ("light", 3, "disk", 4)
    assert top.focal_gamma > 0
    assert not out.exists()
    shown = train("--dry-run")
    assert "What it will take" in shown.stdout


def test_a_plan_file_is_followed_and_the_run_told_as_json(train, tmp_path):
    made = train("--dry-run", "--json", "--head-epochs", 2, "--fine-tune-epochs", 0)
    (tmp_path / "plan.json").write_text(made.stdout)
    out = tmp_path / "run"
    done = train("--plan", tmp_path / "plan.json", "--output", out, "--json", "--quiet")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["output"] == str(out)
    assert list(told["validation"]) == ["feature_extraction"]
    assert "The head alone" in told["verdict"]["sentence"]
    assert tftune.Plan.load(out / "plan.json").phases[0].epochs == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "`--output` must name"),
        (("--dry-run", "--plan", "p.json", "--head-epochs", 2), "does not go with"),
        (("--dry-run", "--plan", "missing.json"), "No plan could be read"),
        (("--dry-run", "--augment", "ligth"), "Did you mean 'light'"),
        (("--dry-run", "--optimizer", "adamv"), "Did you mean 'adam"),
        (("--dry-run", "--image-size", "big"), "such as 224"),
    ],
)
def test_a_bad_request_ends_in_a_sentence(train, arguments, sentence):
    if "--image-size" in arguments:
        done = CliRunner().invoke(app, ["train", ".", *arguments])
    else:
        done = train(*arguments)
    assert done.exit_code == 2
    assert sentence in done.output


def test_the_help_is_in_groups_and_short():
    done = CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "80"})
    for group in ("The run", "The model", "Training"):
        assert group in done.stdout
    # No option takes more than three lines.
    assert len(done.stdout.splitlines()) < 110
