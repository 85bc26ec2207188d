"""What runs the trunk: TensorFlow, or LiteRT where a short measurement shows that it pays."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from tftune.atomic import write_json
from tftune.cache import litert
from tftune.cache.keys import MEASURED
from tftune.errors import check_choice

ENGINES = ("auto", "tensorflow", "litert")

_SAMPLE = 8
"""Examples of the first batch that both engines are compared on."""

_TIMED = 4
"""Examples that they are timed on, a few times."""

# What conversion and the comparison after it cost on one core, measured on a network of 13 MB
# (0.5 s), and what tracing and timing before it cost.
_CONVERSION_SECONDS = 0.2
_CONVERSION_SECONDS_A_BYTE = 2.5e-8
_MEASURING_SECONDS = 0.5
# Share of TensorFlow's time that LiteRT may save. XNNPACK fuses activations into convolutions and
# has fast depthwise ones, so EfficientNet-Lite0 takes about half the time; on ResNet50, which has
# none, both engines take the same.
_SAVED_WITH_DEPTHWISE = 0.45
_SAVED_WITHOUT = 0.1
_WORTH = 1.2

# Below these, not even a measurement pays: what a slow computer does in a second, and what a slow
# trunk takes for an example on a CPU.
SLOW_FLOPS_A_SECOND = 2e10
_SLOW_SECONDS_AN_EXAMPLE = 0.05

_ROUNDS = 2
_REMEMBERED_SECONDS = 86400
"""How long "LiteRT is not faster" is believed: another version may be."""


class Engine(Protocol):
    """Something that gives the trunk's output on a batch."""

    name: str
    reason: str

    def __call__(self, inputs: Any) -> np.ndarray:
        """Run a batch."""

    def start(self, inputs: Any) -> Callable[[], np.ndarray]:
        """Begin to run a batch; what is returned waits for it."""


class RunnableTrunk(Protocol):
    """What a trunk must offer to be run."""

    @property
    def keras_model(self) -> keras.Model:
        """From inputs to the boundary."""

    @property
    def forward(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """`keras_model` in inference mode as one compiled function."""

    @property
    def flops(self) -> int:
        """Floating-point operations an example; 0 if that is not known."""


@dataclass
class TensorFlowEngine:
    """Runs the trunk's compiled graph.

    Attributes:
        forward: the trunk's compiled function.
        reason: why it was chosen, in words.
        name: "tensorflow".
    """

    forward: Callable[[tf.Tensor], tf.Tensor]
    reason: str
    name: str = "tensorflow"

    def __call__(self, inputs: Any) -> np.ndarray:
        """Run a batch.

        Rows must not depend on their company, or a pass that was interrupted would go on with other
        bits. They do for a single row only, for which TensorFlow has a kernel that rounds
        differently, so a single row gets itself for company.
        """
        if len(inputs) == 1:
            return np.asarray(self.forward(tf.concat([inputs, inputs], axis=0)))[:1]
        return np.asarray(self.forward(inputs))

    def start(self, inputs: Any) -> Callable[[], np.ndarray]:
        """Run a batch when it is waited for: each of its operations uses all cores anyway."""
        return functools.partial(self, inputs)


@dataclass(frozen=True)
class EngineChoice:
    """What a pass would run the trunk with, as far as can be said before it.

    Attributes:
        name: "tensorflow" or "litert".
        reason: why, in words.
        certain: False if the first batch of the pass decides.
    """

    name: str
    reason: str
    certain: bool = True

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


def choose_engine(trunk: RunnableTrunk, num_rows: int, folder: Path | None = None) -> EngineChoice:
    """Say what a pass will run the trunk with, without running anything.

    Args:
        trunk: the frozen part of a network.
        num_rows: examples that are not in the cache yet.
        folder: the trunk's folder in the cache, where an earlier measurement may be.

    Returns:
        The choice, for a plan to show.
    """
    obstacle = _obstacle(trunk)
    if obstacle:
        return EngineChoice("tensorflow", obstacle)
    measured = _measured(folder)
    if measured:
        return EngineChoice(measured["engine"], measured["reason"])
    if _most_rows_in_vain(trunk) >= num_rows:
        return EngineChoice("tensorflow", f"{num_rows} rows are too few for a conversion to pay")
    return EngineChoice("litert", "if the first batch shows it to be faster and equal", False)


def expected_pass(
    trunk: RunnableTrunk, choice: EngineChoice, num_rows: int, tensorflow_seconds: float
) -> tuple[EngineChoice, float]:
    """Say how long a pass will take, once TensorFlow's speed is known.

    Args:
        trunk: the frozen part of a network.
        choice: what `choose_engine` said.
        num_rows: examples that will be run.
        tensorflow_seconds: what TensorFlow takes for one.

    Returns:
        The choice, which the speed may have changed, and seconds.
    """
    plain = num_rows * tensorflow_seconds
    if choice.name != "litert":
        return choice, plain
    saved = plain * _saved_share(trunk)
    if choice.certain:  # converted before
        return choice, plain - saved
    conversion = _conversion_seconds(trunk)
    if saved < _WORTH * conversion:
        reason = f"{num_rows} rows are over sooner than a conversion to LiteRT could save"
        return EngineChoice("tensorflow", reason), plain
    return choice, plain - saved + conversion


def engine_for(
    trunk: RunnableTrunk,
    sample: Any,
    num_rows: int,
    folder: Path | None = None,
    engine: str = "auto",
) -> Engine:
    """Return the fastest engine that gives Keras' own numbers.

    Args:
        trunk: the frozen part of a network.
        sample: the first batch of inputs.
        num_rows: how many examples will be run.
        folder: where a converted trunk and the measurement are kept; nothing is if None.
        engine: "auto" measures; "tensorflow" or "litert" ask for one. LiteRT gives way to
            TensorFlow where it cannot run the trunk or its numbers differ.

    Returns:
        An engine, which says why it was chosen.

    Raises:
        ConfigError: if `engine` is another name.
    """
    check_choice("engine", engine, ENGINES)
    if engine == "tensorflow":
        return TensorFlowEngine(trunk.forward, "asked for")
    obstacle = _obstacle(trunk)
    if obstacle:
        return TensorFlowEngine(trunk.forward, obstacle)
    if folder is not None:
        measured = _measured(folder)
        if engine == "auto" and measured and measured["engine"] == "tensorflow":
            return TensorFlowEngine(trunk.forward, measured["reason"])
        kept = litert.kept_engine(folder)
        if kept is not None:
            return kept
    if engine == "auto" and _most_rows_in_vain(trunk) >= num_rows:
        reason = f"{num_rows} rows are too few for a conversion to LiteRT to pay"
        return TensorFlowEngine(trunk.forward, reason)
    return _measure(trunk, np.asarray(sample)[:_SAMPLE], num_rows, folder, engine == "auto")


def _measure(
    trunk: RunnableTrunk, sample: np.ndarray, num_rows: int, folder: Path | None, choose: bool
) -> Engine:
    tensorflow = TensorFlowEngine(trunk.forward, "")
    try:
        # Traced once, to be compared with and to be converted; the trunk's own function is only
        # traced where it is chosen.
        concrete = litert.folded(trunk.keras_model)
    except Exception as error:
        return _remembered(tensorflow, _cannot(error), folder)
    graph = TensorFlowEngine(concrete, "")
    inputs = tf.constant(sample)
    expected = graph(inputs)
    (tensorflow_seconds,) = _seconds([graph], inputs[:_TIMED])
    gain = tensorflow_seconds * _saved_share(trunk) * num_rows
    if choose and gain < _WORTH * _conversion_seconds(trunk):
        tensorflow.reason = (
            f"{num_rows} rows at {tensorflow_seconds * 1e3:.1f} ms are over sooner than a "
            "conversion to LiteRT could save"
        )
        return tensorflow
    try:
        content = litert.convert(concrete)
        converted = litert.LiteRTEngine(content)
        received = converted(sample)
    except Exception as error:
        return _remembered(tensorflow, _cannot(error), folder)
    difference = litert.relative_difference(expected, received)
    if not difference <= litert.TOLERANCE:  # NaN counts as different
        reason = f"LiteRT differs from Keras by {difference:.0e} of the largest output"
        return _remembered(tensorflow, reason, folder)
    litert_seconds, again = _seconds([converted, graph], inputs[:_TIMED])
    tensorflow_seconds = min(tensorflow_seconds, again)
    times = f"{litert_seconds * 1e3:.1f} ms an example against {tensorflow_seconds * 1e3:.1f}"
    if choose and litert_seconds >= tensorflow_seconds:
        return _remembered(tensorflow, f"LiteRT is not faster: {times}", folder)
    if folder is not None:
        litert.keep(folder, content, sample, expected)
    reason = f"{times} with TensorFlow, within {difference:.0e} of Keras"
    return _remembered(converted, reason, folder)


def _cannot(error: Exception) -> str:
    # The converter and the interpreter raise their own, undocumented exception types.
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
    return f"LiteRT cannot run this trunk ({first_line})"


def _remembered(engine: Any, reason: str, folder: Path | None) -> Any:
    engine.reason = reason
    if folder is not None:
        with contextlib.suppress(OSError):
            write_json(
                folder / MEASURED,
                {
                    "engine": engine.name,
                    "reason": reason,
                    "cpus": os.cpu_count(),
                    "time": time.time(),
                },
            )
    return engine


def _measured(folder: Path | None) -> dict[str, Any] | None:
    """Return what an earlier pass measured, if on a machine like this one."""
    if folder is None:
        return None
    try:
        value = json.loads((folder / MEASURED).read_text(encoding="utf-8"))
        fits = value["cpus"] == os.cpu_count() and value["engine"] in ENGINES
        if value["engine"] == "tensorflow":
            fits = fits and time.time() - value["time"] < _REMEMBERED_SECONDS
        return value if fits and isinstance(value["reason"], str) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _obstacle(trunk: RunnableTrunk) -> str:
    """Say why LiteRT is out of the question, or nothing."""
    if tf.config.list_physical_devices("GPU"):
        return "there is a GPU"
    inputs = trunk.keras_model.inputs
    if len(inputs) != 1 or inputs[0].dtype != "float32" or None in inputs[0].shape[1:]:
        return "the trunk does not take one float32 input of a fixed shape"
    if not hasattr(trunk.forward, "get_concrete_function"):
        return "the trunk is not one TensorFlow function"
    return ""


def _seconds(engines: Sequence[Engine], inputs: Any, rounds: int = _ROUNDS) -> list[float]:
    """Time engines in turn and return the best of each, in seconds an example.

    What counts is how long this process kept cores busy, over their number: both engines use all
    cores in a pass, and on a machine with other work the clock would tell who was served first.
    The best, because whatever else this process does, such as reading ahead, only ever adds.
    """
    cpus = os.cpu_count() or 1
    best = [math.inf] * len(engines)
    for _ in range(rounds):
        for index, engine in enumerate(engines):
            started = time.process_time()
            engine(inputs)
            best[index] = min(best[index], time.process_time() - started)
    return [seconds / len(inputs) / cpus for seconds in best]


def _conversion_seconds(trunk: RunnableTrunk) -> float:
    size_bytes = 4 * trunk.keras_model.count_params()
    return _CONVERSION_SECONDS + _CONVERSION_SECONDS_A_BYTE * size_bytes


def _saved_share(trunk: RunnableTrunk) -> float:
    depthwise = (keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
    found = any(isinstance(layer, depthwise) for layer in _layers(trunk.keras_model))
    return _SAVED_WITH_DEPTHWISE if found else _SAVED_WITHOUT


def _layers(model: keras.Model) -> list[keras.layers.Layer]:
    return list(model._flatten_layers()) if hasattr(model, "_flatten_layers") else model.layers


def _most_rows_in_vain(trunk: RunnableTrunk) -> int:
    """Return a number of rows below which not even a measurement pays."""
    seconds = _SLOW_SECONDS_AN_EXAMPLE
    if trunk.flops:
        seconds = min(seconds, trunk.flops / SLOW_FLOPS_A_SECOND)
    cost = _MEASURING_SECONDS + _conversion_seconds(trunk)
    return int(cost / (seconds * _saved_share(trunk)))
