"""A disk that fills leaves nothing half-written, and is called what it is."""

import contextlib
import os
import subprocess

import pytest

import tftune
from tftune.errors import ExportError


@contextlib.contextmanager
def small_disk(folder, size):
    """Mount a file system of so many bytes."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no `mount` on this machine")
    if done.returncode:
        pytest.skip(f"mounting a small file system is not permitted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _everything(folder):
    return sorted(os.path.join(at, name) for at, _, files in os.walk(folder) for name in files)


@pytest.mark.parametrize("name", ["served", "phone.tflite"])
def test_a_full_disk_leaves_what_was_there_and_nothing_else(heavy_model, tmp_path, name):
    """The network has 9.5 MB of weights, the disk 4."""
    with small_disk(tmp_path / "disk", 4_000_000) as disk:
        (disk / "mine.txt").write_text("mine")
        export = tftune.export_tflite if name.endswith("tflite") else tftune.export_saved_model
        with pytest.raises(ExportError, match="The disk is full"):
            export(heavy_model, disk / name)
        assert _everything(disk) == [str(disk / "mine.txt")]
        assert (disk / "mine.txt").read_text() == "mine"


def test_an_earlier_version_and_junk_beside_it_survive_a_full_disk(heavy_model, tmp_path):
    # While it writes, TensorFlow needs up to twice the room of the weights: there is enough once.
    with small_disk(tmp_path / "disk", 24_000_000) as disk:
        first = tftune.export_saved_model(heavy_model, disk / "m")
        for junk in ("tmp", "7.partial", ".hidden", "-3", "²"):
            (disk / "m" / junk).mkdir()
        (disk / "m" / "9").write_text("a file with the name of a version")
        before = _everything(disk)
        with pytest.raises(ExportError, match="The disk is full"):
            tftune.export_saved_model(heavy_model, disk / "m")
        assert _everything(disk) == before
        assert first.path.endswith("1")
