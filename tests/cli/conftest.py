"""Commands run in this very process, and a finished run for them to work on."""

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

import tftune
from tftune.cli import console
from tftune.cli.main import app


@pytest.fixture
def tftune_command(monkeypatch):
    monkeypatch.setattr(console, "import_tensorflow_quietly", lambda: None)

    def run(*arguments):
        """Run a command in a terminal of 80 columns."""
        return CliRunner().invoke(
            app,
            [str(argument) for argument in arguments],
            prog_name="tftune",
            env={"COLUMNS": "80"},
        )

    return run


@pytest.fixture(scope="package")
def place(stripes_folder, tiny_model, tmp_path_factory):
    """A folder with `photos` and a finished run of them, `runs/stripes`, of known weights."""
    place = tmp_path_factory.mktemp("place")
    shutil.copytree(stripes_folder, place / "photos")
    run = place / "runs" / "stripes"
    run.mkdir(parents=True)
    tiny_model.save(run / "model.keras")
    model = tftune.load(run)
    generator = np.random.default_rng(0)
    for variable in model.keras_model.weights:  # the same numbers whatever Keras draws
        variable.assign(np.abs(generator.normal(0, 0.2, variable.shape)))
    model.save(run / "model.keras")
    known = {"command": "train", "arguments": {"data": str(place / "photos")}}
    (run / "run.json").write_text(json.dumps(known))
    return place
