"""`tftune audit`: exit codes, JSON and the page."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tftune.cli.main import main


@pytest.fixture
def folder(tmp_path):
    """Two classes of twenty images of noise, no two alike."""
    generator = np.random.default_rng(0)
    root = tmp_path / "photos"
    for name in ("one", "two"):
        (root / name).mkdir(parents=True)
        for index in range(20):
            pixels = generator.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            image = Image.fromarray(pixels).resize((48, 48), Image.Resampling.BICUBIC)
            image.save(root / name / f"{index:02d}.png")
    return root


def _run(capsys, *arguments):
    with pytest.raises(SystemExit) as exit_:
        main(["audit", *map(str, arguments), "-q"])
    return exit_.value.code, capsys.readouterr()


def test_a_clean_folder_exits_with_zero(folder, capsys):
    code, shown = _run(capsys, folder, "--no-features")
    assert code == 0
    assert "40 images audited" in shown.out
    assert "Nothing found." in shown.out
    assert shown.err == ""


def test_what_spoils_training_exits_with_one(folder, capsys):
    (folder / "one" / "03.png").write_bytes(b"")
    code, shown = _run(capsys, folder, "--no-features")
    assert code == 1
    assert "unreadable" in shown.out


def test_what_does_not_spoil_training_exits_with_zero(folder, capsys):
    Image.new("RGB", (48, 48)).save(folder / "one" / "black.png")
    code, shown = _run(capsys, folder, "--no-features")
    assert code == 0
    assert "constant image" in shown.out


def test_json_and_the_page_are_written(folder, tmp_path, capsys):
    shutil.copy(folder / "one" / "00.png", folder / "two" / "00 copy.png")
    page = tmp_path / "out" / "audit.html"
    code, shown = _run(capsys, folder, "--no-features", "--json", "--html", page)
    assert code == 1
    values = json.loads(shown.out)
    assert values["spoils_training"] is True
    assert "label_conflict" in {issue["kind"] for issue in values["issues"]}
    assert "data:image/jpeg;base64" in page.read_text(encoding="utf-8")


def test_bad_input_ends_in_one_sentence_and_exit_code_two(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tftune", "audit", str(tmp_path / "nowhere")],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert "must be an existing folder" in done.stderr
    assert "Traceback" not in done.stderr
