"""A SavedModel gives the model's answers where neither tftune nor keras exists."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tftune
from tftune.errors import ExportError

# Run by a plain interpreter: imports of tftune and keras fail, as on a machine without them.
FRESH_PROCESS = """
import importlib.machinery, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

class Refuse:
    def find_spec(self, name, path=None, target=None):
        # TensorFlow asks where keras lies without importing it, so only the import is refused.
        if name.split(".")[0] in ("tftune", "keras", "tf_keras"):
            return importlib.machinery.ModuleSpec(name, self, origin="/nowhere/__init__.py")

    def create_module(self, spec):
        raise ImportError(f"{spec.name} is not here")

    def exec_module(self, module):
        pass

sys.meta_path.insert(0, Refuse())
import numpy as np
import tensorflow as tf

folder, work = sys.argv[1:]
loaded = tf.saved_model.load(folder)
pixels = np.load(f"{work}/pixels.npy")
encoded = [open(f"{work}/{name}", "rb").read() for name in ("a.jpg", "b.png")]
from_pixels = loaded.signatures["predict_pixels"](pixels=tf.constant(pixels))
from_bytes = loaded.signatures["serving_default"](image_bytes=tf.constant(encoded))
np.savez(
    f"{work}/answers.npz",
    pixels=from_pixels["probabilities"],
    bytes=from_bytes["probabilities"],
    scores=from_bytes["scores"],
    classes=from_bytes["classes"],
    label=from_bytes["label"],
)
assert "keras" not in sys.modules and "tftune" not in sys.modules
"""


def test_a_fresh_process_gets_the_same_answers_from_pixels_and_from_files(
    pretrained_model, stripes, tmp_path
):
    export = tftune.export_saved_model(pretrained_model, tmp_path / "served")
    first, second = (np.asarray(Image.open(p)) for p in stripes.test.examples.paths[:2])
    Image.fromarray(first).resize((71, 40)).save(tmp_path / "a.jpg", quality=90)
    Image.fromarray(second).save(tmp_path / "b.png")
    np.save(tmp_path / "pixels.npy", np.stack([first, second]).astype(np.float32))
    (tmp_path / "client.py").write_text(FRESH_PROCESS)
    subprocess.run(
        [sys.executable, tmp_path / "client.py", export.path, tmp_path],
        check=True,
        cwd=tmp_path,
        timeout=300,
    )
    answers = np.load(tmp_path / "answers.npz", allow_pickle=True)
    names = pretrained_model.class_names

    def expected(images):
        return [[a[name] for name in names] for a in pretrained_model.predict(images)]

    np.testing.assert_allclose(answers["pixels"], expected([first, second]), atol=1e-5)
    files = [tmp_path / "a.jpg", tmp_path / "b.png"]
    np.testing.assert_allclose(answers["bytes"], expected(files), atol=1e-5)
    np.testing.assert_array_equal(answers["scores"], answers["bytes"])
    assert answers["classes"].tolist() == [[n.encode() for n in names]] * 2
    assert answers["label"].tolist() == [names[i].encode() for i in answers["bytes"].argmax(1)]


def test_versions_count_up_and_each_has_its_certificate(tiny_model, stripes, tmp_path):
    first = tftune.export_saved_model(tiny_model, tmp_path / "m", verify=stripes.validation)
    (tmp_path / "m" / "notes").mkdir()
    second = tftune.export_saved_model(tiny_model, tmp_path / "m")
    assert [Path(e.path).name for e in (first, second)] == ["1", "2"]
    certificate = json.loads((tmp_path / "m" / "1.certificate.json").read_text())
    assert certificate["passed"]
    assert certificate["num_examples"] == len(stripes.validation)
    assert certificate["max_difference"] <= 1e-5
    assert "Not verified" in str(second)
    assert "parity certificate" in str(first)


def test_an_export_that_answers_otherwise_is_refused_and_leaves_nothing(
    tiny_model, stripes, tmp_path, monkeypatch
):
    """The Keras side is shifted after the export was written, as a broken converter would do."""
    from tftune.exporters import certificate

    def shifted(model, split):
        return np.roll(np.eye(3, dtype=np.float32)[split.labels], 1, axis=1)

    monkeypatch.setattr(certificate, "predict_split", shifted)
    with pytest.raises(ExportError, match="does not give the model's answers"):
        tftune.export_saved_model(tiny_model, tmp_path / "m", verify=stripes.validation)
    assert list((tmp_path / "m").iterdir()) == []


def test_a_file_in_the_way_is_refused(tiny_model, tmp_path):
    (tmp_path / "m").write_text("mine")
    with pytest.raises(ExportError, match="must be a folder"):
        tftune.export_saved_model(tiny_model, tmp_path / "m")
