"""Running a .tflite file in LiteRT, as a phone would."""

from __future__ import annotations

import importlib.metadata
import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from tftune.config.image_input import ImageInput
from tftune.data.dataset import Split
from tftune.data.pipeline import image_batches
from tftune.exporters.certificate import Answers


class LiteRtModel:
    """A .tflite file with one input and one output, ready to run one example at a time.

    Args:
        path: the file.
        num_threads: how many threads it runs on; all cores by default.
    """

    def __init__(self, path: str | os.PathLike[str], num_threads: int | None = None) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(
            model_path=str(path), num_threads=num_threads or os.cpu_count() or 1
        )
        self._interpreter.allocate_tensors()
        self._source = self._interpreter.get_input_details()[0]
        self._sink = self._interpreter.get_output_details()[0]

    def __call__(self, example: np.ndarray) -> np.ndarray:
        """Run one example.

        Args:
            example: real values, in the shape of the input without its batch.

        Returns:
            float64 real values, in the shape of the output without its batch; 8-bit numbers are
            mapped back by the output's scale and zero point.
        """
        self._interpreter.set_tensor(self._source["index"], _stored(example, self._source)[None])
        self._interpreter.invoke()
        return _real(self._interpreter.get_tensor(self._sink["index"])[0], self._sink)


def run_images(path: Path, split: Split, image_input: ImageInput) -> Answers:
    """Run a .tflite image classifier over a split, twice.

    Args:
        path: the file.
        split: the examples, read from their original files.
        image_input: the resize contract, which the app on the phone must follow too.

    Returns:
        What it answered.
    """
    model = LiteRtModel(path)
    runs: list[list[np.ndarray]] = [[], []]
    seconds = []
    for pixels in image_batches(split.examples, image_input, batch_size=1):
        image = pixels.numpy()[0]
        for run in runs:
            started = time.perf_counter()
            run.append(model(image))
            seconds.append(time.perf_counter() - started)
    first, second = (np.stack(run) for run in runs)
    runtime = f"LiteRT {importlib.metadata.version('ai-edge-litert')}"
    return Answers(runtime, first, second, 1000 * statistics.median(seconds))


def _stored(value: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    dtype = np.dtype(tensor["dtype"])
    if dtype.kind == "f":
        return value.astype(dtype)
    scale, zero = tensor["quantization"]
    limits = np.iinfo(dtype)
    return np.clip(np.round(value / scale + zero), limits.min, limits.max).astype(dtype)


def _real(stored: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    if stored.dtype.kind == "f":
        return stored.astype(np.float64)
    scale, zero = tensor["quantization"]
    return (stored.astype(np.float64) - zero) * scale
