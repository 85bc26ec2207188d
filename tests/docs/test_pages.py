"""What the pages tell people to type works, and every link leads somewhere."""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from typer.testing import CliRunner

import tftune
from tftune.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Pages that need what cannot be had here: a checkpoint of the reader's own.
_ENCODER = "all-MiniLM-L6-v2"


def blocks(page, language):
    return [code for name, code in _BLOCK.findall(page.read_text()) if name == language]


def name_of(page):
    return str(page.relative_to(ROOT))


WITH_PYTHON = [page for page in PAGES if blocks(page, "python")]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
def test_python_on_a_page_names_only_what_there_is(page):
    for code in blocks(page, "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "tftune":
                assert node.attr in tftune.__all__, f"tftune.{node.attr}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_on_a_page_are_understood(page, understand, tmp_path, monkeypatch):
    run = tmp_path / "runs" / "flowers"
    run.mkdir(parents=True)
    (run / "run.json").write_text('{"command": "train", "arguments": {"data": "flowers"}}')
    monkeypatch.chdir(tmp_path)
    for code in blocks(page, "bash"):
        for line in code.splitlines():
            if re.match(r"tftune \w", line):
                understand(line)


def test_the_site_is_built_without_a_warning(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", tmp_path / "site"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "site" / "reference" / "api" / "index.html").read_text()
    for name in set(tftune.__all__) - {"plans"}:
        assert f'id="{tftune._HOMES[name]}.{name}"' in reference, name
    commands = (tmp_path / "site" / "reference" / "cli" / "index.html").read_text()
    assert "--split-column" in commands and "tftune cache clear" in commands


@pytest.fixture(scope="module")
def work_place(tmp_path_factory):
    """A folder with what readers are supposed to have: `flowers`, `rose.jpg`, `tickets.csv`."""
    place = tmp_path_factory.mktemp("reader")
    digits = load_digits()
    for label, name in enumerate(("daisy", "rose", "tulip")):
        folder = place / "flowers" / name
        folder.mkdir(parents=True)
        for index, pixels in enumerate(digits.images[digits.target == label][:24]):
            image = Image.fromarray((pixels * 15.9).astype("uint8")).resize((96, 96))
            image.convert("RGB").save(folder / f"{index}.jpg")
    shutil.copy(place / "flowers" / "rose" / "0.jpg", place / "rose.jpg")
    rows = [f"text {i} about a {kind},{kind}" for i in range(20) for kind in ("bill", "login")]
    (place / "tickets.csv").write_text("\n".join(["body,queue", *rows]))
    return place


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
def test_python_on_a_page_runs(page, work_place, tmp_path, monkeypatch):
    matplotlib.use("Agg")
    for name in ("flowers", "rose.jpg", "tickets.csv"):
        (tmp_path / name).symlink_to(work_place / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFTUNE_CACHE", str(work_place / "cache"))
    namespace = {"__name__": "__main__"}
    for code in blocks(page, "python"):
        if _ENCODER not in code:
            exec(compile(code, name_of(page), "exec"), namespace)


@pytest.mark.slow
def test_the_readmes_commands_lead_from_a_folder_to_a_verified_file(
    work_place, tmp_path, monkeypatch
):
    walk = next(code for code in blocks(ROOT / "README.md", "bash") if "tftune verify" in code)
    commands = walk.splitlines()
    assert len(commands) <= 10 and commands[-1].startswith("tftune verify")
    for name in ("flowers", "rose.jpg"):
        (tmp_path / name).symlink_to(work_place / name)
    monkeypatch.chdir(tmp_path)
    for command in commands:
        done = CliRunner().invoke(app, shlex.split(command)[1:])
        assert done.exit_code == 0, done.output
