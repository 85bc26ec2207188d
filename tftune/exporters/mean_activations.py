"""What the tensors of a .tflite file hold on the average over real images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


def mean_activations(
    content: bytes, images: Iterable[np.ndarray], tensors: Sequence[int]
) -> dict[int, np.ndarray]:
    """Average tensors of a network over images and positions.

    Args:
        content: a float32 .tflite file with one input.
        images: real inputs, each of shape (1, height, width, 3); at least one.
        tensors: which, by their numbers in the file; computed ones with channels last.

    Returns:
        float64, shape (channels,), for each tensor.
    """
    interpreter = allocated(content, experimental_preserve_all_tensors=True)
    source = interpreter.get_input_details()[0]["index"]
    sums: dict[int, np.ndarray] = {}
    count = 0
    for image in images:
        interpreter.set_tensor(source, image)
        interpreter.invoke()
        count += 1
        for index in dict.fromkeys(tensors):
            values = interpreter.get_tensor(index)
            mean = values.reshape(-1, values.shape[-1]).mean(axis=0, dtype=np.float64)
            sums[index] = sums.get(index, 0) + mean
    return {index: total / count for index, total in sums.items()}


def allocated(content: bytes, **settings: Any) -> Any:
    """Make an interpreter of a .tflite file, ready to be run."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    if settings:  # operators that a delegate merges have no outputs of their own
        settings["experimental_op_resolver_type"] = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=content, **settings)
    interpreter.allocate_tensors()
    return interpreter
