"""tftune installs beside the TensorFlow and Keras that Colab ships, changes neither, and works."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Without the tf-keras and tensorflow-text that Colab has, pip takes their newest releases, and the
# TensorFlow that those need.
SHIPPED = ("tensorflow==2.19.*", "keras==3.10.*", "tf-keras==2.19.*", "tensorflow-text==2.19.*")
# A choice to begin with where the whole suite takes too long: TFTUNE_COLAB_TESTS="tests/builders".
TESTS = os.environ.get("TFTUNE_COLAB_TESTS", "tests").split()


def _run(*command):
    given = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH",)}
    done = subprocess.run(
        [*map(str, command)], cwd=ROOT, env=given, capture_output=True, text=True, timeout=7200
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def colab(tmp_path_factory):
    """The Python of a fresh environment with what Colab ships, and its packages' versions."""
    folder = tmp_path_factory.mktemp("colab") / "venv"
    _run(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    _run(python, "-m", "pip", "install", "-q", *SHIPPED)
    return python, _versions(python)


def _versions(python):
    listed = json.loads(_run(python, "-m", "pip", "list", "--format", "json"))
    return {package["name"].lower(): package["version"] for package in listed}


@pytest.mark.slow
@pytest.mark.network
def test_nothing_that_colab_ships_is_changed_and_the_suite_passes(colab):
    python, before = colab
    assert before["tensorflow"].startswith("2.19.") and before["keras"].startswith("3.10.")
    _run(python, "-m", "pip", "install", "-q", ROOT)
    after = _versions(python)
    assert {name: after.get(name) for name in before} == before
    # The tests need packages of which only some releases fit, so pip is told to what.
    _run(python, "-m", "pip", "install", "-q", f"{ROOT}[dev]", *SHIPPED)
    _run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS)
