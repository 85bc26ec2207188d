"""The trunk in LiteRT: converted once, checked against Keras, kept beside the rows."""

from __future__ import annotations

import contextlib
import os
import queue
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tftune.atomic import replaced_file
from tftune.cache.keys import CONVERTED
from tftune.native_output import captured_stderr

TOLERANCE = 1e-4
"""Largest difference allowed, relative to the largest output.

Both engines compute in float32 and differ in the order of sums only. A sum of n terms is off by
about sqrt(n) * 6e-8 relative; with n up to 5,000 and fifty layers that add up like a random walk
that is 3e-5, and the measured figure on EfficientNet-Lite0 and ResNet50 is 2e-6. A wrongly
converted operation is off by far more.
"""

_MOST_INTERPRETERS = 4

KEPT_EXAMPLES = 2
"""Inputs kept with the converted trunk, so that it can be checked without building the graph."""


class LiteRTEngine:
    """Runs a converted trunk on all cores of the CPU, one example at a time in each of them.

    Interpreters that each run their own example never wait for one another, which one interpreter's
    threads do after every operation; on busy cores that costs more than the operations. Batches
    bring nothing there.

    Args:
        content: the .tflite file's bytes.

    Attributes:
        name: "litert".
        reason: why it was chosen, in words.
    """

    name = "litert"

    def __init__(self, content: bytes) -> None:
        self.reason = ""
        self._content = content  # the interpreters read from it as long as they live
        cpus = os.cpu_count() or 1
        # Each interpreter holds the weights once more, in the order its kernels want them.
        workers = min(cpus, _MOST_INTERPRETERS)
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        with captured_stderr():
            for _ in range(workers):
                self._idle.put(self._interpreter(cpus // workers))
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="litert")

    def __call__(self, inputs: Any) -> np.ndarray:
        """Run a batch.

        Args:
            inputs: float32, shape (batch, ...).

        Returns:
            float32, shape (batch, *boundary shape).
        """
        return self.start(inputs)()

    def start(self, inputs: Any) -> Callable[[], np.ndarray]:
        """Begin to run a batch, so that no core waits at its end for the next one.

        Args:
            inputs: float32, shape (batch, ...).

        Returns:
            What waits for the batch and returns it.
        """
        rows = self._pool.map(self._run, np.asarray(inputs))
        return lambda: np.concatenate(list(rows))

    def _run(self, example: np.ndarray) -> np.ndarray:
        interpreter = self._idle.get()
        try:
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], example[None])
            interpreter.invoke()  # without Python's lock, so the others go on
            return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])  # a copy
        finally:
            self._idle.put(interpreter)

    def _interpreter(self, threads: int) -> Any:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_content=self._content, num_threads=threads)
        source = interpreter.get_input_details()[0]
        interpreter.resize_tensor_input(source["index"], [1, *source["shape_signature"][1:]])
        interpreter.allocate_tensors()
        return interpreter


def folded(network: keras.Model) -> Any:
    """Trace a network in inference mode with its weights as constants.

    Weights that Keras does not hold (a SavedModel's own) are folded afterwards, which takes longer.

    Args:
        network: with one float32 input of a fixed shape.

    Returns:
        A concrete function of one tensor, to be run by TensorFlow or converted.
    """
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    values = [(variable, variable.numpy()) for variable in network.variables]

    def forward(inputs: tf.Tensor) -> tf.Tensor:
        constants = [(variable, tf.constant(value)) for variable, value in values]
        with keras.StatelessScope(state_mapping=constants):
            return network(inputs, training=False)

    spec = tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)
    concrete = tf.function(forward, input_signature=[spec]).get_concrete_function()
    return convert_variables_to_constants_v2(concrete) if concrete.captured_inputs else concrete


def convert(concrete: Any) -> bytes:
    """Convert a traced network without variables to float32 TFLite in memory.

    It goes through the converter of graphs: that of functions would look for variables once more
    and takes a second where this takes a third of one.

    Args:
        concrete: what `folded` returned.

    Returns:
        The .tflite file's bytes.

    Raises:
        Exception: of undocumented types, if an operation has no counterpart.
    """
    failure: Exception | None = None
    with captured_stderr():
        try:
            converter = tf.compat.v1.lite.TFLiteConverter(
                concrete.graph.as_graph_def(), concrete.inputs, concrete.outputs
            )
            return converter.convert()
        except Exception as error:
            # Raised again outside: that a trunk cannot be converted is expected, and the pages the
            # converter prints about it would look like a failure.
            failure = error
    assert failure is not None
    raise failure


def relative_difference(expected: np.ndarray, received: np.ndarray) -> float:
    """Return the largest difference over the largest expected magnitude; NaN where either is."""
    if expected.shape != received.shape:
        return float("nan")
    scale = max(float(np.abs(expected).max(initial=0)), 1e-6)
    return float(np.abs(expected - received).max(initial=0)) / scale


def keep(folder: Path, content: bytes, inputs: np.ndarray, expected: np.ndarray) -> None:
    """Write the converted trunk with a few inputs and Keras' outputs on them.

    A full disk is no error here: the next pass converts again.
    """
    with contextlib.suppress(OSError), replaced_file(folder / CONVERTED) as temporary:
        with open(temporary, "wb") as stream:
            np.savez(
                stream,
                content=np.frombuffer(content, np.uint8),
                inputs=inputs[:KEPT_EXAMPLES],
                expected=expected[:KEPT_EXAMPLES],
            )


def kept_engine(folder: Path) -> LiteRTEngine | None:
    """Load what `keep` wrote; None if it is not there, damaged, or wrong on this machine."""
    try:
        with np.load(folder / CONVERTED) as kept:  # the archive checks its own CRC-32
            content, inputs, expected = kept["content"], kept["inputs"], kept["expected"]
        engine = LiteRTEngine(content.tobytes())
        difference = relative_difference(expected, engine(inputs))
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, ImportError, zipfile.BadZipFile):
        return None
    if not difference <= TOLERANCE:
        return None
    engine.reason = f"converted before; within {difference:.0e} of Keras"
    return engine
