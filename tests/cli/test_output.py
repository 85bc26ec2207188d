"""What the main commands print, as exact text of at most 80 columns (see `same_text`)."""

import os
import pty
import re
import shutil
import subprocess
import sys

import pytest
from PIL import Image

from tftune.cli import installation


@pytest.fixture(autouse=True)
def _there(place, monkeypatch):
    monkeypatch.chdir(place)


def test_the_help_page(tftune_command, same_text):
    page = tftune_command("--help").output
    # How typer shows its own options depends on its version.
    same_text("help", re.sub(r"\n\s*\n", "\n", page[page.index("╭─ Start") :]))


def test_the_backbones(tftune_command, same_text):
    same_text("backbones", tftune_command("backbones").output)


def test_an_audit(tftune_command, same_text, tmp_path, monkeypatch):
    shutil.copytree("photos", tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    shutil.copy("photos/vertical/00.png", "photos/diagonal/copied from vertical.png")
    shutil.copy("photos/vertical/01.png", "photos/vertical/01 again.png")
    (tmp_path / "photos" / "diagonal" / "cut.png").write_bytes(b"")
    Image.new("RGB", (48, 48)).save("photos/diagonal/black.png")
    done = tftune_command("audit", "photos", "--no-features", "-q")
    assert done.exit_code == 1
    same_text("audit", done.output)


def test_a_plan(tftune_command, same_text):
    small = ("--backbone", "mobilenet_v3_small", "--weights", "none", "--image-size", 32)
    same_text("plan", tftune_command("train", "photos", "--dry-run", *small).output)


def test_an_evaluation(tftune_command, same_text):
    same_text("evaluate", tftune_command("evaluate", "runs/stripes", "--split", "all", "-q").output)


def test_a_prediction(tftune_command, same_text):
    images = [f"photos/{name}/00.png" for name in ("diagonal", "vertical")]
    same_text("predict", tftune_command("predict", "runs/stripes", *images).output)


def test_a_look_at_the_installation(tftune_command, same_text, monkeypatch, tmp_path):
    versions = {"tensorflow-text": None, "tftune": "0.1.0", "keras": "2.15.0"}
    real = installation._version
    monkeypatch.setattr(
        installation,
        "_version",
        lambda name: versions[name] if name in versions else real(name) and "2.21.0",
    )
    monkeypatch.setattr(installation, "_requirement_findings", lambda: ())
    monkeypatch.setattr(installation.sys, "version", "3.11.2 (main)")
    monkeypatch.setattr(installation.socket, "create_connection", _no_network)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFTUNE_CACHE", "cache")
    monkeypatch.setenv("KERAS_HOME", "keras")
    same_text("doctor", tftune_command("doctor").output)


def _no_network(*_):
    raise ConnectionRefusedError


def test_piped_output_has_no_escape_codes_and_no_bars(tftune_command, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as CI services do
    done = tftune_command("audit", "photos", "--no-features")
    assert "24 images audited" in done.stdout, done.output
    for code in ("\x1b", "\r", "━"):
        assert code not in done.output
    assert "read train: 18/18" in done.stderr  # a line a step


def test_no_color_means_none_on_a_terminal_too():
    ours, its = pty.openpty()
    started = subprocess.Popen(
        [sys.executable, "-m", "tftune", "train", "--help"],
        stdout=its,
        stderr=its,
        env={**os.environ, "NO_COLOR": "1", "TERM": "xterm-256color"},
    )
    os.close(its)
    shown = b""
    try:
        while more := os.read(ours, 1 << 16):
            shown += more
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    assert started.wait(timeout=60) == 0
    codes = re.findall(rb"\x1b\[[\d;?]*[a-zA-Z]", shown)
    assert set(codes) <= {b"\x1b[0m", b"\x1b[1m", b"\x1b[2m", b"\x1b[1;2m"}  # bold and dim
    assert b"--head-epochs" in re.sub(rb"\x1b\[[\d;?]*[a-zA-Z]", b"", shown)
