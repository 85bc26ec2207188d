"""One peer on one draw of the data, in a process of its own."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.cases import Source, write
from benchmarks.peers.environments import InstallError, clean_environ
from benchmarks.peers.registry import Peer

_MEASURE = Path(__file__).parent / "measure.py"
_RAISED = re.compile(r"[\w.]*(Error|Exception|Exit|Iteration|Interrupt)\b")


def run(
    peer: Peer, source: Source, case: dict[str, Any], limit: float, times: float | None = None
) -> dict[str, Any]:
    """Return the figures of a peer in a case, or `{"error": ...}` if it has none.

    Args:
        peer: the library.
        source: what to draw examples from.
        case: `a_class`, `test`, `seed`, and for images `size` in pixels.
        limit: seconds after which the process is stopped.
        times: how many times as long as its documentation shows the library trains, if it can.
    """
    try:
        python = peer.environment.python()
    except InstallError as error:
        return {"error": f"not installed: {error}"}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
        folder = Path(work)
        draw = case["a_class"], case["test"], case["seed"]
        training, questions, truth = write(source, peer.kind, *draw, folder)
        output = folder / "figures.json"
        command = [python, _MEASURE, peer.path, training, questions, output]
        command += ["--seed", str(case["seed"])]
        if peer.kind == "images":
            command += ["--size", str(case["size"])]
        if times is not None:
            command += ["--times", str(times)]
        if peer.phone:
            command += ["--phone", peer.phone_path]
        variables = clean_environ() | {"TFTUNE_CACHE": work, "TF_CPP_MIN_LOG_LEVEL": "3"}
        try:
            done = subprocess.run(
                [str(part) for part in command],
                cwd=folder,
                env=variables,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=limit,
            )
        except subprocess.TimeoutExpired:
            return {"error": f"did not end within {limit / 60:.0f} minutes"}
        if not output.is_file():
            return {"error": _last_words(done.stderr) or f"exit code {done.returncode}"}
        told = json.loads(output.read_text(encoding="utf-8"))
    figures = {"accuracy": _share_right(told.pop("answers"), truth), **told, "lines": peer.lines}
    if times is not None:
        figures["times"] = times
    if peer.phone:
        figures["phone_accuracy"] = _share_right(figures.pop("phone_answers"), truth)
    return figures


def _share_right(answers: Sequence[str], truth: Sequence[str]) -> float:
    return sum(answer == label for answer, label in zip(answers, truth, strict=True)) / len(truth)


def _last_words(stderr: str) -> str:
    """Return what a traceback ends with, in one line; nothing if there is none."""
    lines = stderr.splitlines()
    for place in range(len(lines) - 1, -1, -1):
        if _RAISED.match(lines[place]):
            return tidy(" ".join(line.strip() for line in lines[place:]))[:600]
    return ""


def tidy(error: str) -> str:
    """Leave out of an error what is this machine's own: hosts asked, folders, addresses."""
    error = re.sub(r"(?:[\w-]+\.)+(?:com|co|org|net|io)\b", "HOST", error)
    error = re.sub(r"(?:/[\w.-]+)+/", ".../", error)
    return re.sub(r" at 0x[0-9a-f]+", "", error)
