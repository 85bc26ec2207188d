"""Selective quantization: convolutions and dense layers in 8 bits, the rest in float32.

Where activations of wide range (swish, squeeze-and-excite) make full 8-bit integers lose accuracy,
what eight bits resolve badly stays in floating point. ai-edge-quantizer does the work.

Measured on an EfficientNetB0 trained from nothing on 2,000 images of Fashion-MNIST, with 400 of the
test set: TensorFlow's full integers keep the float answer on 89%, this form on 94%, and 8-bit
weights alone ("dynamic"), which are smaller too but slower, on 99.8%. TensorFlow's 16-bit
activations keep 99% and take 17 times as long as float32: there are no fast kernels for them.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import io
import warnings
from collections.abc import Iterable

import numpy as np

from tftune.errors import ConfigError, ExportError
from tftune.exporters.tflite_contents import inspect_tflite

_BITS = 8
_SIGNATURE = "serving_default"


def check_quantizer() -> None:
    """Raise ConfigError unless ai-edge-quantizer is installed."""
    if importlib.util.find_spec("ai_edge_quantizer") is None:
        raise ConfigError(
            "Selective quantization needs the package ai-edge-quantizer. "
            "Install it with `pip install 'tftune[quantize]'`."
        )


def quantize_selectively(content: bytes, images: Iterable[np.ndarray]) -> bytes:
    """Quantize the convolutions and dense layers of a float32 .tflite file.

    Args:
        content: the file, with one image input and a signature.
        images: real inputs, each of shape (1, height, width, 3), that set the ranges.

    Returns:
        The new content; its inputs and outputs stay float32.

    Raises:
        ConfigError: if ai-edge-quantizer is not installed.
        ExportError: if it cannot quantize the file.
    """
    check_quantizer()
    from ai_edge_quantizer import qtyping, quantizer

    operators = qtyping.TFLOperationName
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # it warns of the memory that calibration takes
        with contextlib.redirect_stderr(io.StringIO()):  # progress bars
            try:
                work = quantizer.Quantizer(bytearray(content))
                for operator in (
                    operators.CONV_2D,
                    operators.DEPTHWISE_CONV_2D,
                    operators.FULLY_CONNECTED,
                ):
                    work.add_static_config(".*", operator, _BITS, _BITS)
                ranges = work.calibrate({_SIGNATURE: [{"image": image} for image in images]})
                quantized = work.quantize(ranges).quantized_model
            except Exception as error:
                # It raises whatever it meets, with no type of its own.
                raise ExportError(
                    f"ai-edge-quantizer cannot quantize this model: {str(error)[:300]}"
                ) from error
    if quantized is None:
        raise ExportError("ai-edge-quantizer gave no model back.")
    return bytes(quantized)


def describe_selection(content: bytes) -> str:
    """Say in a sentence what of a file computes in integers and what does not."""
    contents = inspect_tflite(content)
    converting = {"QUANTIZE", "DEQUANTIZE"}
    kept = [operator for operator in contents.float_operators if operator.name not in converting]
    kinds = ", ".join(sorted({operator.name for operator in kept}))
    computing = [operator for operator in contents.operators if operator.name not in converting]
    version = importlib.metadata.version("ai-edge-quantizer")
    return (
        f"Selective quantization by ai-edge-quantizer {version}: {len(computing) - len(kept)} of "
        f"{len(computing)} operators compute in 8-bit integers; {kinds} stay in float32."
    )
