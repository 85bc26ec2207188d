"""Grad-CAM and Grad-CAM++: where in an image a network looked, at any of its stages."""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf

from tftune.builders.heads import by_head
from tftune.builders.transfer_model import TransferModel
from tftune.errors import ConfigError, check_choice
from tftune.evaluation.explained import explained_class, explained_head
from tftune.results.heatmap import Heatmap

METHODS = ("grad-cam", "grad-cam++")


def grad_cam(
    model: TransferModel,
    image: str | os.PathLike[str] | np.ndarray,
    class_name: str | None = None,
    *,
    stage: str | None = None,
    method: str = "grad-cam",
    head: str | None = None,
) -> Heatmap:
    """Show where in an image a network sees a class.

    Args:
        model: any model of a functional backbone.
        image: a path, or RGB pixels in [0, 255], shape (height, width, 3).
        class_name: the class, label or quantity to explain; the most probable one by default.
        stage: the stage whose feature map is looked at; by default the backbone's last map.
            Earlier stages are finer and know less of the class.
        method: "grad-cam", or "grad-cam++", which shows several objects of a class better.
        head: which head, of several; the first by default.

    Returns:
        The heatmap, with the image as the network sees it.

    Raises:
        ConfigError: if there is no such class, stage, method or head, or if the stage has no map.
        DataError: if a file cannot be read as an image.
        ShapeError: if an array is not an RGB image.

    References:
        Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391; Chattopadhay et al. 2018,
        https://arxiv.org/abs/1710.11063.
    """
    check_choice("method", method, METHODS)
    spec = explained_head(model, head, class_name)
    layer, told = _map_layer(model, stage)
    trunk, top = model.cut(layer)
    pixels = model.prepare(image)
    features = trunk.forward(tf.constant(pixels[None]))
    with tf.GradientTape() as tape:
        tape.watch(features)
        logits = top(features, training=False)
        place, probability = explained_class(model, spec, logits, class_name)
        score = by_head(model.heads, logits)[spec.name][0, place]
    gradient = tape.gradient(score, features)
    values = _weighted(np.asarray(features)[0], np.asarray(gradient)[0], method)
    return Heatmap(
        values=values,
        pixels=pixels,
        class_name=spec.class_names[place],
        probability=probability,
        stage=told,
        method=method,
    )


def _weighted(features: np.ndarray, gradient: np.ndarray, method: str) -> np.ndarray:
    """Weigh channels by their gradients and keep what speaks for the class.

    Args:
        features: float, shape (height, width, channels).
        gradient: of the class's logit, of the same shape.
        method: one of `METHODS`.

    Returns:
        float32, shape (height, width), in [0, 1].
    """
    features, gradient = features.astype(np.float64), gradient.astype(np.float64)
    if method == "grad-cam":
        weights = gradient.mean(axis=(0, 1))
    else:
        # Equation 19: for a score exp(logit) the higher derivatives are powers of the first.
        square, cube = gradient**2, gradient**3
        bottom = 2 * square + features.sum(axis=(0, 1)) * cube
        alpha = np.divide(square, bottom, out=np.zeros_like(square), where=np.abs(bottom) > 1e-20)
        weights = (alpha * np.maximum(gradient, 0)).sum(axis=(0, 1))
    heat = np.maximum(features @ weights, 0)
    peak = heat.max()
    return (heat / peak if peak > 0 else heat).astype(np.float32)


def _map_layer(model: TransferModel, stage: str | None) -> tuple[str, str]:
    """Return the layer whose feature map a stage ends in, and what to call it."""
    if stage is None:
        shape = model.backbone.output_shape
        layer, told = model.spec.features_layer, model.stages[-1].name
    else:
        by_name = {one.name: one for one in model.stages}
        check_choice("stage", stage, by_name, "See `print(model)`.")
        layer, told = by_name[stage].output.layer, stage
        shape = (None, *by_name[stage].output.shape)
    if len(shape) != 4:
        maps = [one.name for one in model.stages if len(one.output.shape) == 3]
        raise ConfigError(
            f"`stage` must end in a feature map, of shape (height, width, channels). {told!r} ends "
            f"in shape {tuple(shape[1:])}; with a map: {', '.join(maps) or 'none of this model'}."
        )
    return layer, told
