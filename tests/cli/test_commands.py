"""The command line: real subprocesses, one sentence and exit code 2 for bad input."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

import tftune
from tftune.cli.main import app


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path_factory, monkeypatch):
    """Commands run away from the repository, so that what runs is what was installed."""
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))


def in_a_process(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "tftune", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        **options,
    )


@pytest.fixture(scope="module")
def run_folder(stripes_folder, tmp_path_factory):
    """A finished run, made by the command itself."""
    out = tmp_path_factory.mktemp("runs") / "stripes"
    done = in_a_process(
        "train",
        stripes_folder,
        "--output",
        out,
        "--head-epochs",
        2,
        "--fine-tune-epochs",
        1,
        "-q",
        cwd=out.parent,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert f"Wrote {out}" in done.stdout
    return out


def test_train_leaves_the_run_directory(run_folder):
    names = {path.name for path in run_folder.iterdir()}
    assert {"plan.json", "environment.json", "history.csv", "metrics.json", "model.keras"} | {
        "report.html"
    } <= names


def test_evaluate_prints_the_same_figures_as_python(run_folder, stripes_folder):
    done = in_a_process("evaluate", run_folder, stripes_folder, "--json")
    assert done.returncode == 0, done.stderr
    expected = tftune.evaluate(
        tftune.load(run_folder), tftune.load_image_folder(stripes_folder).test
    )
    shown = json.loads(done.stdout)
    assert shown["metrics"]["loss"] == pytest.approx(expected.metrics["loss"], rel=1e-4)
    assert shown["num_examples"] == 3


def test_report_adds_what_the_data_says(run_folder, stripes_folder, tmp_path):
    arguments = ["report", str(run_folder), "--output", str(tmp_path / "r.html"), "-q"]
    arguments += ["--data", str(stripes_folder), "--explain", "--robustness", "--cost"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    for told in ("on 3 test examples", "Audit</h3>", "Explanations</h2>", "Robustness</h2>"):
        assert told in page
    assert "floating-point operations an image" in page
    assert "On test, 3 examples" in (tmp_path / "model_card.md").read_text(encoding="utf-8")


def test_predict_prints_a_row_an_image(run_folder, stripes_folder):
    images = sorted(stripes_folder.rglob("*.png"))[:2]
    done = in_a_process("predict", run_folder, *images, "--json")
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert list(answers) == [str(image) for image in images]


@pytest.mark.parametrize("name", ["served", "phone.tflite"])
def test_export_writes_and_verifies(run_folder, stripes_folder, tmp_path, name):
    done = in_a_process("export", run_folder, tmp_path / name, "--verify", stripes_folder)
    assert done.returncode == 0, done.stderr
    assert "parity certificate" in done.stdout
    assert (tmp_path / name).exists()


def _one_image_in_a_class(root):
    for path in sorted((root / "vertical").iterdir())[1:]:
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (shutil.rmtree, "must be an existing folder"),
        (lambda root: [shutil.rmtree(p) for p in root.iterdir()], "holds no class folders"),
        (lambda root: [shutil.rmtree(p) for p in list(root.iterdir())[1:]], "holds one class"),
        (lambda root: shutil.copy(next(root.rglob("*.png")), root), "at its top level"),
        (_one_image_in_a_class, "at least two images"),
        (lambda root: (root / "vertical" / "x.jpg").write_text("no"), "cannot be decoded"),
    ],
)
def test_a_bad_folder_ends_in_one_sentence_and_exit_code_two(
    tftune_command, stripes_folder, tmp_path, spoil, sentence
):
    root = shutil.copytree(stripes_folder, tmp_path / "photos")
    spoil(root)
    done = tftune_command("train", root, "--output", tmp_path / "run")
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "{photos}", "--output", "{new}", "--backbone", "resnet5"], "Did you mean"),
        (["trian"], "No such command 'trian'"),
    ],
)
def test_a_bad_request_ends_in_a_sentence_and_exit_code_two(
    stripes_folder, tmp_path, arguments, sentence
):
    places = {"photos": stripes_folder, "new": tmp_path / "new"}
    done = in_a_process(*(argument.format(**places) for argument in arguments))
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


# What a shell starts in the background ignores Ctrl-C, and so do the tests and all they start.
_HEEDING_CTRL_C = (
    "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "runpy.run_module('tftune', run_name='__main__', alter_sys=True)"
)


def test_ctrl_c_ends_in_a_sentence(stripes_folder, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", _HEEDING_CTRL_C, "train", stripes_folder]
        + ["--output", tmp_path / "run", "--head-epochs", "100000"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    # Training is under way once there is a checkpoint.
    while process.poll() is None and not list((tmp_path / "run").glob("checkpoints/phase-*")):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped at your request" in rest
    assert "Traceback" not in rest
    assert "continues the run" in rest
    assert not (tmp_path / "run" / "metrics.json").exists()
