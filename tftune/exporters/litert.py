"""Running a .tflite file in LiteRT, as a phone would."""

from __future__ import annotations

import importlib.metadata
import os
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tftune.config.image_input import ImageInput
from tftune.config.model_spec import HeadSpec
from tftune.data.dataset import Split
from tftune.data.pipeline import image_batches
from tftune.data.text_examples import Texts
from tftune.errors import DataError, ExportError
from tftune.exporters.certificate import Answers
from tftune.exporters.text_metadata import packed_tokenizer
from tftune.exporters.tflite_contents import inspect_tflite
from tftune.exporters.tflite_metadata import read_metadata


class LiteRtModel:
    """A .tflite file, ready to run one example at a time.

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
        self._sources = self._interpreter.get_input_details()
        self._sinks = self._interpreter.get_output_details()

    def __call__(self, example: np.ndarray) -> list[np.ndarray]:
        """Run one example.

        Args:
            example: real values, in the shape of the input without its batch.

        Returns:
            For each output in the file's order float64 real values, in its shape without the
            batch; 8-bit numbers are mapped back by the output's scale and zero point.
        """
        (source,) = self._sources
        self._interpreter.set_tensor(source["index"], _stored(example, source)[None])
        return self._answers()

    def run_inputs(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Run one example of several inputs.

        Args:
            values: in the file's order, as they are, with their batch.

        Returns:
            As for one input.
        """
        for source, value in zip(self._sources, values, strict=True):
            self._interpreter.set_tensor(source["index"], value)
        return self._answers()

    def _answers(self) -> list[np.ndarray]:
        self._interpreter.invoke()
        return [_real(self._interpreter.get_tensor(s["index"])[0], s) for s in self._sinks]


def run_images(
    path: Path, split: Split, image_input: ImageInput, heads: Sequence[HeadSpec]
) -> Answers:
    """Run a .tflite image model over a split, twice.

    Args:
        path: the file.
        split: the examples, read from their original files.
        image_input: the resize contract, which the app on the phone must follow too.
        heads: what it answers.

    Returns:
        What it answered.

    Raises:
        ExportError: if its outputs are not these heads'.
    """
    batches = image_batches(split.examples, image_input, batch_size=1)
    return run_examples(path, (pixels.numpy()[0] for pixels in batches), heads)


def run_texts(path: Path, split: Split, heads: Sequence[HeadSpec]) -> Answers:
    """Run a .tflite text model over a split, twice, with the tokenizer the file names and packs.

    Args:
        path: the file.
        split: the examples, one text each.
        heads: what it answers.

    Returns:
        What it answered.

    Raises:
        ExportError: if its outputs are not these heads', or it names no tokenizer.
        DataError: if the examples are no texts.
    """
    if not isinstance(split.examples, Texts) or split.examples.num_texts != 1:
        raise DataError("The export reads texts, one an example. The split holds something else.")
    content = path.read_bytes()
    metadata = read_metadata(content)
    tokenizer = packed_tokenizer(content, metadata)
    contents = inspect_tflite(content)
    length = contents.inputs[0].shape[-1]
    names = [notes.name for notes in metadata.inputs] if metadata else []
    if len(contents.inputs) == 1:
        names = ["ids"]

    def fed(text: str) -> list[np.ndarray]:
        values = tokenizer.inputs(text, length)
        return [values[name] for name in names]

    return _run_twice(path, map(fed, split.examples.columns[0]), LiteRtModel.run_inputs, heads)


def run_examples(path: Path, examples: Iterable[np.ndarray], heads: Sequence[HeadSpec]) -> Answers:
    """Run a .tflite file over prepared examples, twice each.

    Args:
        path: the file.
        examples: real values, each in the shape of the file's input without its batch.
        heads: what it answers.

    Returns:
        What it answered.

    Raises:
        ExportError: if its outputs are not these heads'.
    """
    return _run_twice(path, examples, LiteRtModel.__call__, heads)


def _run_twice(
    path: Path,
    examples: Iterable[Any],
    call: Callable[[LiteRtModel, Any], list[np.ndarray]],
    heads: Sequence[HeadSpec],
) -> Answers:
    names = _head_of_each_output(path.read_bytes(), heads)
    model = LiteRtModel(path)
    runs: list[list[list[np.ndarray]]] = [[], []]
    seconds = []
    for example in examples:
        for run in runs:
            started = time.perf_counter()
            run.append(call(model, example))
            seconds.append(time.perf_counter() - started)
    first, second = (
        {name: np.stack([row[place] for row in run]) for place, name in enumerate(names)}
        for run in runs
    )
    runtime = f"LiteRT {importlib.metadata.version('ai-edge-litert')}"
    return Answers(runtime, first, second, 1000 * statistics.median(seconds))


def _head_of_each_output(content: bytes, heads: Sequence[HeadSpec]) -> list[str]:
    """Name the head of each output, in the file's order, which need not be the heads'."""
    outputs = inspect_tflite(content).outputs
    if len(outputs) == len(heads) == 1:
        return [heads[0].name]
    metadata = read_metadata(content)
    names = [notes.name for notes in metadata.outputs] if metadata else []
    if sorted(names) != sorted(head.name for head in heads):
        raise ExportError(
            f"The file's {len(outputs)} outputs, named {names} in its metadata, are not the heads "
            f"{[head.name for head in heads]}."
        )
    return names


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
