"""`tftune predict` prints what each kind of head answers."""

import json

import numpy as np
import pytest
from PIL import Image

import tftune
from tftune.cli import console
from tftune.cli.predict import command
from tftune.data.dataset import ImageFiles, Split
from tftune.data.targets import Target


@pytest.fixture
def image(tmp_path, monkeypatch):
    monkeypatch.setattr(console, "import_tensorflow_quietly", lambda: None)
    Image.new("RGB", (32, 32), (200, 30, 40)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_several_heads_are_printed_a_line_each_and_a_regression_whole(image, tmp_path, capsys):
    targets = (
        Target("kind", "multiclass", ("cat", "dog", "owl"), np.array([0])),
        Target("size", "regression", ("width", "height"), np.array([[1.0, 2.0]], np.float32)),
    )
    split = Split("train", ImageFiles((str(image),)), targets)
    model = tftune.build_image_classifier(
        "mobilenet_v3_small", split, weights=None, image_size=(32, 32)
    )
    model.save(tmp_path / "m.keras")
    command(tmp_path / "m.keras", [str(image)], top=1)
    shown = capsys.readouterr().out
    assert "answers" in shown
    assert sum(name in shown for name in ("cat", "dog", "owl")) == 1
    assert "width" in shown and "height" in shown
    command(tmp_path / "m.keras", [str(image)], as_json=True)
    answer = json.loads(capsys.readouterr().out)[str(image)]
    assert set(answer["size"]) == {"width", "height"}
