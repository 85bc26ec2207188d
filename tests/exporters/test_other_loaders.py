"""Loaders that are not Python's TensorFlow agree: TF Serving's own in C++, OpenVINO, the CLI."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tftune


@pytest.fixture(scope="module")
def export(pretrained_model, tmp_path_factory):
    return tftune.export_saved_model(pretrained_model, tmp_path_factory.mktemp("served") / "m")


@pytest.fixture(scope="module")
def photo(stripes, tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "photo.jpg"
    Image.open(stripes.test.examples.paths[0]).resize((90, 61)).save(path, quality=88)
    return path


def _expected(model, image):
    answer = model.predict(image)
    return [answer[name] for name in model.class_names]


@pytest.mark.slow
def test_tf_servings_own_loader_gives_the_models_answers(export, pretrained_model, photo, tmp_path):
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("there is no C++ compiler on this machine")
    home = Path(tf.__file__).parent
    program = tmp_path / "loader"
    subprocess.run(
        [
            compiler,
            "-std=c++17",
            *tf.sysconfig.get_compile_flags(),
            Path(__file__).with_name("saved_model_loader.cc"),
            f"-L{home}",
            "-Wl,--no-as-needed",
            "-l:libtensorflow_cc.so.2",
            "-l:libtensorflow_framework.so.2",
            f"-Wl,-rpath,{home}",
            "-o",
            program,
        ],
        check=True,
        timeout=300,
    )
    done = subprocess.run(
        [program, export.path, photo], capture_output=True, text=True, timeout=120, check=True
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    methods = {
        name: method for kind, name, *rest in lines if kind == "signature" for method in rest
    }
    assert methods["classify"] == "tensorflow/serving/classify"
    assert set(export.signatures) <= set(methods)
    received = [float(value) for kind, value, *_ in lines if kind == "probability"]
    np.testing.assert_allclose(received, _expected(pretrained_model, photo), atol=1e-5)


@pytest.mark.slow
def test_the_saved_model_cli_runs_the_default_signature(export, photo, tmp_path):
    command = Path(sys.executable).with_name("saved_model_cli")
    if not command.exists():
        pytest.skip("this TensorFlow installs no saved_model_cli")
    # NumPy cuts zero bytes off the end of a byte string; a JPEG ends otherwise.
    np.save(tmp_path / "image.npy", np.array([photo.read_bytes()]))
    done = subprocess.run(
        [command, "run", "--dir", export.path, "--tag_set", "serve", "--signature_def"]
        + ["serving_default", "--inputs", f"image_bytes={tmp_path / 'image.npy'}"]
        + ["--outdir", tmp_path],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert np.load(tmp_path / "probabilities.npy").shape == (1, 3)


@pytest.mark.slow
def test_openvino_reads_the_network_and_agrees(pretrained_model, tmp_path):
    """An independent reader of SavedModels; it has no image decoder, so it is given pixels."""
    openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed here")
    network = pretrained_model.keras_model
    network.export(tmp_path / "plain", verbose=False)
    # On a CPU with bfloat16 it would compute in that, unasked.
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(tmp_path / "plain", "CPU", exact)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    received = compiled(pixels)[compiled.output(0)]
    np.testing.assert_allclose(received, network.predict(pixels, verbose=0), atol=5e-5)
