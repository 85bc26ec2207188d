"""The demo makes everything it says, on real digits."""

import re
import subprocess
import sys

import tftune


def test_the_demo_learns_and_its_exports_agree(tmp_path):
    out = tmp_path / "demo"
    done = subprocess.run(
        [sys.executable, "-m", "tftune", "demo", "--output", out, "-q"],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert (out / "saved_models" / "digits" / "1" / "saved_model.pb").exists()
    assert (out / "saved_models" / "digits.tflite").exists()
    model = tftune.load(out / "run")
    accuracy = tftune.evaluate(model, tftune.load_image_folder(out / "digits").test).accuracy
    assert accuracy >= 0.85
    assert f"{accuracy:.3f}" in done.stdout
    assert len(re.findall("same answers as Keras on 70 images", done.stdout)) == 2
    again = subprocess.run(
        [sys.executable, "-m", "tftune", "demo", "--output", out],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=tmp_path,
    )
    assert again.returncode == 2
    assert "--overwrite" in again.stderr
