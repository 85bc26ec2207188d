"""Runs an exported .tflite file as a phone does: decoded, resized and classified one by one."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def on_phone(file: Path, class_names: Sequence[str], paths: Sequence[str]) -> dict[str, Any]:
    """Classify images with LiteRT on one thread.

    Args:
        file: a model of one image, RGB in [0, 255], with one score a class.
        class_names: in the order of the scores.
        paths: of images.

    Returns:
        The answers, the file's megabytes and the median milliseconds of the network.
    """
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter
    from PIL import Image

    network = Interpreter(model_path=str(file), num_threads=1)
    network.allocate_tensors()
    (given,), (answered,) = network.get_input_details(), network.get_output_details()
    _, height, width, _ = given["shape"]
    answers, seconds = [], []
    for path in paths:
        image = Image.open(path).convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
        pixels = np.asarray(image, np.float32)[np.newaxis]
        if given["dtype"] != np.float32:
            scale, zero = given["quantization"]
            limits = np.iinfo(given["dtype"])
            pixels = np.clip(np.round(pixels / scale + zero), limits.min, limits.max)
        network.set_tensor(given["index"], pixels.astype(given["dtype"]))
        started = time.perf_counter()
        network.invoke()
        seconds.append(time.perf_counter() - started)
        answers.append(class_names[int(network.get_tensor(answered["index"])[0].argmax())])
    return {
        "phone_answers": answers,
        "phone_mb": file.stat().st_size / 1e6,
        "phone_ms": 1000 * statistics.median(seconds),
    }
