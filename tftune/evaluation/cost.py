"""What a model and its exports cost to run on this machine.

Energy is left out: without a power meter that the processor lets programs read, the estimators
multiply time by a constant of the processor's model, which says nothing that time does not.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tftune.builders.stages import operation_flops
from tftune.builders.transfer_model import TransferModel
from tftune.errors import ConfigError, ExportError
from tftune.results.cost import CostReport, RunningCost
from tftune.results.training_run import TrainingRun

_WARM_UP = 3


def measure_cost(
    model: TransferModel,
    exports: Sequence[str | os.PathLike[str]] = (),
    *,
    run: TrainingRun | None = None,
    repeats: int = 30,
    batch_size: int = 32,
) -> CostReport:
    """Measure size, latency and throughput of a model and of its exports.

    Images are random, decoded and resized already. The first runs of each form are not timed.

    Args:
        model: the Keras side.
        exports: `.tflite` files, and SavedModels (the numbered folder).
        run: the training that made the model; says how long it took.
        repeats: timed runs of one image.
        batch_size: images a step for the throughput.

    Returns:
        One row a form.

    Raises:
        ConfigError: if `repeats` or `batch_size` is below 1.
        ExportError: if an export cannot be run.
    """
    if repeats < 1 or batch_size < 1:
        raise ConfigError(
            f"`repeats` and `batch_size` must be at least 1. Received: {repeats}, {batch_size}."
        )
    generator = np.random.default_rng(0)
    shape = (batch_size, *model.image_input.image_size, 3)
    pixels = generator.uniform(0, 255, shape).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder, "m.keras"))
        size = Path(folder, "m.keras").stat().st_size
    version = importlib.metadata.version("keras")
    forms = [_timed("Keras", f"Keras {version}", size, _tensors(model.forward), pixels, repeats)]
    for export in exports:
        forms.append(_export(Path(export), pixels, repeats))
    operations = [*model.backbone.operations, *model.head.operations]
    unique = {operation.name: operation for operation in operations}
    return CostReport(
        parameters=int(model.keras_model.count_params()),
        flops=sum(operation_flops(operation) for operation in unique.values()),
        forms=tuple(forms),
        repeats=repeats,
        machine=f"{os.cpu_count()} x {platform.processor() or platform.machine()}",
        training_seconds=None if run is None else float(sum(run.timings.values())),
    )


def _timed(
    name: str,
    runtime: str,
    size: int,
    call: Callable[[np.ndarray], Any],
    pixels: np.ndarray,
    repeats: int,
) -> RunningCost:
    def seconds(batch: np.ndarray) -> float:
        started = time.perf_counter()
        call(batch)
        return time.perf_counter() - started

    for _ in range(_WARM_UP):
        call(pixels[:1])
    single = [seconds(pixels[:1]) for _ in range(repeats)]
    call(pixels)
    whole = float(np.median([seconds(pixels) for _ in range(3)]))
    median, high = np.quantile(single, [0.5, 0.95]) * 1000
    return RunningCost(
        name, runtime, size, float(median), float(high), len(pixels) / whole, len(pixels)
    )


def _tensors(network: Callable[[tf.Tensor], Any]) -> Callable[[np.ndarray], Any]:
    return lambda batch: tf.nest.map_structure(np.asarray, network(tf.constant(batch)))


def _export(path: Path, pixels: np.ndarray, repeats: int) -> RunningCost:
    try:
        if path.suffix == ".tflite":
            return _tflite(path, pixels, repeats)
        return _saved_model(path, pixels, repeats)
    except (OSError, ValueError, RuntimeError, KeyError, tf.errors.OpError) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise ExportError(f"{str(path)!r} cannot be run: {reason}") from error


def _tflite(path: Path, pixels: np.ndarray, repeats: int) -> RunningCost:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=os.cpu_count())
    interpreter.allocate_tensors()
    (entry,) = interpreter.get_input_details()
    single = np.rint(pixels[:1]).astype(entry["dtype"])

    def call(batch: np.ndarray) -> None:
        for _ in range(len(batch)):
            interpreter.set_tensor(entry["index"], single)
            interpreter.invoke()

    version = importlib.metadata.version("ai-edge-litert")
    size = path.stat().st_size
    return _timed(path.name, f"LiteRT {version}", size, call, pixels, repeats)


def _saved_model(path: Path, pixels: np.ndarray, repeats: int) -> RunningCost:
    loaded = tf.saved_model.load(str(path))
    signature = loaded.signatures["predict_pixels"]
    (name,) = signature.structured_input_signature[1]
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())

    def call(batch: np.ndarray) -> None:
        signature(**{name: tf.constant(batch)})

    told = f"{path.parent.name}/{path.name}"
    return _timed(told, f"TensorFlow {tf.__version__}", size, call, pixels, repeats)
