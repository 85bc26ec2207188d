"""The classifier that a backbone's ImageNet weights came with, where it is at hand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tftune.builders.efficientnet_lite import read_imagenet_classifier
from tftune.builders.transfer_model import TransferModel
from tftune.errors import TftuneError

Classifier = tuple[np.ndarray, np.ndarray]
"""Kernel, shape (num_features, 1000), and bias, shape (1000,)."""

# These have a layer between their pooled features and the classifier.
_MORE_THAN_A_CLASSIFIER = ("convnext",)


def imagenet_classifier(model: TransferModel) -> Classifier | None:
    """Return the linear ImageNet classifier on a model's pooled features.

    EfficientNet-Lite0's comes with its weights. Those of `keras.applications` are read from Keras'
    own folder of downloads, if a network with its classifier was ever asked for there.

    Args:
        model: its backbone must hold ImageNet weights; its first layer's are compared.

    Returns:
        Kernel and bias; None where they are not at hand, or do not fit the model's features.
    """
    pooled = model.keras_model.get_layer(model.spec.pooled_layer).output.shape[-1]
    first = next((w for w in model.backbone.weights if len(w.shape) == 4), None)
    if first is None:
        return None
    for found in _candidates(model.preset):
        kernel, bias, first_kernels = found
        same = any(
            k.shape == first.shape and np.allclose(k, first, atol=1e-6) for k in first_kernels
        )
        if same and kernel.shape == (pooled, 1000):
            return kernel, bias
    return None


def _candidates(preset: str) -> Iterator[tuple[np.ndarray, np.ndarray, list[np.ndarray]]]:
    """Yield classifiers with the convolutions that were stored beside them."""
    if preset == "efficientnet_lite0":
        try:
            yield read_imagenet_classifier()
        except TftuneError:
            return
    elif not preset.startswith(_MORE_THAN_A_CLASSIFIER):
        home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
        plain = preset.replace("_", "")
        for file in sorted((home / "models").glob("*.h5")):
            name = file.name.lower().replace("_", "").replace("-", "")
            if name.startswith(plain) and "notop" not in name:
                yield from _in_file(file)


def _in_file(file: Path) -> Iterator[tuple[np.ndarray, np.ndarray, list[np.ndarray]]]:
    import h5py

    kernels, biases, convolutions = [], [], []

    def visit(name: str, item: object) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        if len(item.shape) == 2 and item.shape[1] == 1000:
            kernels.append(item[()])
        elif item.shape == (1000,):
            biases.append(item[()])
        elif len(item.shape) == 4 and item.shape[2] == 3:  # from the colours
            convolutions.append(item[()])

    try:
        with h5py.File(file) as opened:
            opened.visititems(visit)
    except OSError:
        return
    if len(kernels) == len(biases) == 1:
        yield kernels[0], biases[0], convolutions
