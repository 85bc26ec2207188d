"""A saved model needs nothing but its file, whatever its layers are."""

import json
import subprocess
import sys

import pytest

import tftune


def test_a_text_model_is_loaded_by_a_process_that_built_none(tmp_path):
    """Keras finds our layers only in modules that were imported."""
    model = tftune.build_text_classifier("ngrams", class_names=["bad", "good"])
    model.save(tmp_path / "m.keras")
    program = "import json, sys, tftune; print(json.dumps(tftune.load(sys.argv[1]).predict('a b')))"
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "m.keras")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer == pytest.approx(model.predict("a b"), abs=1e-6)
