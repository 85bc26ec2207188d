"""What a .tflite file costs to run here."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Sequence

import numpy as np

from tftune.errors import ExportError
from tftune.exporters import litert_runner
from tftune.exporters.tflite_contents import inspect_tflite, read_tflite
from tftune.results.verification import RuntimeBenchmark, RuntimeCost


def benchmark_tflite(
    path: str | os.PathLike[str], threads: Sequence[int] | None = None, repeats: int = 50
) -> RuntimeBenchmark:
    """Measure a file's latency and memory in LiteRT, each number of threads in a new process.

    Args:
        path: a `.tflite` file.
        threads: numbers of threads to try; 1 up to the number of cores by default.
        repeats: timed runs of each, after three that are not.

    Returns:
        Size, median and 95th percentile of the latency, and peak memory.

    Raises:
        ExportError: if the file cannot be read or LiteRT cannot run it.
    """
    content = read_tflite(path)
    inspect_tflite(content)
    costs = []
    for count in threads or range(1, (os.cpu_count() or 1) + 1):
        command = [sys.executable, litert_runner.__file__, str(path), str(count), str(repeats)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or ["no message"]
            raise ExportError(f"LiteRT cannot run {str(path)!r}: {last[0]}")
        measured = json.loads(done.stdout.strip().splitlines()[-1])
        median, high = np.quantile(measured["seconds"], [0.5, 0.95]) * 1000
        costs.append(RuntimeCost(count, float(median), float(high), measured["peak_memory_bytes"]))
    runtime = f"LiteRT {importlib.metadata.version('ai-edge-litert')}"
    return RuntimeBenchmark(str(path), len(content), runtime, tuple(costs), repeats)
