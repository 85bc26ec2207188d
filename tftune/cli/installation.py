"""Whether this installation works: versions, devices, weights, and places to write to."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

from tftune.cache.keys import cache_folder
from tftune.display import show_size
from tftune.results.diagnosis import Diagnosis, Finding

_SHOWN = ("tftune", "tensorflow", "keras", "numpy", "ai-edge-litert", "keras-tuner")
_EXTRAS = {"text": "BERT encoders", "serving": "warm-up records for TF Serving"}
# Keras Applications keeps its weights there: keras.applications.*.WEIGHTS_PATH.
_WEIGHTS_HOST = "storage.googleapis.com"
_CONNECT_SECONDS = 3.0
_LITTLE_DISK = 2 * 1024**3


def diagnose_installation() -> Diagnosis:
    """Check what tftune needs of this machine.

    Returns:
        What there is and what would fail, with remedies.
    """
    summary = {name: _version(name) or "not installed" for name in _SHOWN}
    summary["Python"] = sys.version.split()[0]
    findings = [*_requirement_findings(), *_backend_findings(), *_folder_findings(summary)]
    if any(finding.rule == "package" for finding in findings):
        summary["devices"] = "not asked, since packages are missing"
    else:
        findings += _text_findings()
        findings += _device_findings(summary)
    findings += _weights_findings(summary)
    return Diagnosis(
        "tftune",
        "installation",
        summary,
        tuple(findings),
        praise="tftune can train, evaluate and export here.",
    )


def _version(package: str) -> str | None:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return None


def _requirement_findings() -> Iterator[Finding]:
    """Compare what is installed with what tftune asks for; extras are only asked for if present."""
    for line in importlib.metadata.requires("tftune") or ():
        wanted = Requirement(line)
        extra = wanted.marker is not None and not wanted.marker.evaluate({"extra": ""})
        found = _version(wanted.name)
        if found is None and not extra:
            yield Finding(
                "error",
                "package",
                f"{wanted.name} is not installed, without which tftune does not work.",
                f"pip install '{wanted.name}{wanted.specifier}'",
            )
        elif found and not wanted.specifier.contains(found, prereleases=True):
            yield Finding(
                "warning" if extra else "error",
                "version",
                f"{wanted.name} {found} is installed; tftune is made for {wanted.specifier}.",
                f"pip install '{wanted.name}{wanted.specifier}'",
            )
    for extra_name, purpose in _EXTRAS.items():
        missing = [
            wanted.name
            for line in importlib.metadata.requires("tftune") or ()
            if (wanted := Requirement(line)).marker
            and wanted.marker.evaluate({"extra": extra_name})
            and not wanted.marker.evaluate({"extra": ""})
            and _version(wanted.name) is None
        ]
        if missing:
            yield Finding(
                "note",
                f"extra-{extra_name}",
                f"{', '.join(missing)} not installed, which only {purpose} need.",
                f"pip install 'tftune[{extra_name}]'",
            )


def _text_findings() -> Iterator[Finding]:
    """Compare tensorflow-text with TensorFlow: each release fits exactly one minor version."""
    text, tensorflow = _version("tensorflow-text"), _version("tensorflow")
    if not text or not tensorflow:
        return
    minor = ".".join(tensorflow.split(".")[:2])
    if ".".join(text.split(".")[:2]) != minor:
        yield Finding(
            "warning",
            "tensorflow-text",
            f"tensorflow-text {text} does not fit TensorFlow {tensorflow}: loading it fails.",
            f"pip install 'tensorflow-text=={minor}.*'",
        )


def _backend_findings() -> Iterator[Finding]:
    backend = os.environ.get("KERAS_BACKEND")
    if backend and backend != "tensorflow":
        yield Finding(
            "error",
            "backend",
            f"KERAS_BACKEND is {backend!r}; tftune works with TensorFlow only.",
            "Set KERAS_BACKEND=tensorflow before Python starts; in a notebook, restart it.",
        )


def _device_findings(summary: dict[str, str]) -> Iterator[Finding]:
    try:
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
    except Exception as error:  # whatever a broken installation raises
        yield Finding(
            "error",
            "tensorflow",
            f"TensorFlow cannot be imported: {type(error).__name__}: {error}.",
            "pip install --force-reinstall tensorflow",
        )
        return
    cores = os.cpu_count() or 1
    summary["devices"] = f"{cores} CPU cores, " + (f"{len(gpus)} GPU" if gpus else "no GPU")
    if shutil.which("nvidia-smi") and not gpus:
        yield Finding(
            "warning",
            "gpu",
            "This machine has an NVIDIA driver, but TensorFlow sees no GPU.",
            "pip install 'tensorflow[and-cuda]', or train on the CPU.",
        )


def _folder_findings(summary: dict[str, str]) -> Iterator[Finding]:
    for what, folder, remedy in (
        ("cache", cache_folder(), "Set TFTUNE_CACHE to a folder that can be written."),
        ("Keras' folder", _keras_folder(), "Set KERAS_HOME to a folder that can be written."),
    ):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            yield Finding(
                "error", "folder", f"{folder} cannot be written: {error.strerror}.", remedy
            )
            continue
        free = shutil.disk_usage(folder).free
        summary[what] = f"{folder} ({show_size(free)} free)"
        if free < _LITTLE_DISK:
            yield Finding(
                "warning",
                "disk",
                f"Only {show_size(free)} are free where {what} is: large trunks will not fit.",
                remedy,
            )


def _keras_folder() -> Path:
    home = os.environ.get("KERAS_HOME")
    return Path(home) if home else Path.home() / ".keras"


def _weights_findings(summary: dict[str, str]) -> Iterator[Finding]:
    models = _keras_folder() / "models"
    kept = sorted(models.glob("*_notop.h5")) if models.is_dir() else []
    summary["weights kept by Keras"] = str(len(kept))
    try:
        socket.create_connection((_WEIGHTS_HOST, 443), _CONNECT_SECONDS).close()
    except OSError:
        yield Finding(
            "note",
            "network",
            f"{_WEIGHTS_HOST} cannot be reached, so Keras cannot download backbones' weights. "
            "efficientnet_lite0 needs no download.",
            f"Put weights files into {models}, or name one with `weights=` (--weights FILE).",
        )
