"""Rounding weights to 8 bits so that a layer's output, not each weight for itself, stays near.

Neighbouring inputs of a layer are alike (colours of a grey pixel, pixels of a plain area), so the
error of one rounded weight can be made up for by how the next ones are rounded. The weights of one
output are rounded one after another; each error is spread over those that are still to come, by
the covariance of the inputs they meet.

References:
    Frantar et al. 2022 (GPTQ), https://arxiv.org/abs/2210.17323, algorithm 1.
"""

from __future__ import annotations

import numpy as np

# Keeps what is hardly seen in the images from being rounded wildly; a share of the mean variance.
_DAMPING = 0.05
_POSITIONS = 64  # of one image; neighbouring ones tell little more


def round_weights(weights: np.ndarray, covariance: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Round the weights of a layer's outputs.

    Args:
        weights: shape (groups, outputs, terms); the outputs of a group see the same inputs.
        covariance: of the inputs that the terms meet, shape (groups, terms, terms).
        steps: the size of an integer step for each output, shape (groups, outputs).

    Returns:
        int8, in [-127, 127], of the weights' shape.
    """
    terms = covariance.shape[-1]
    variance = np.diagonal(covariance, axis1=1, axis2=2)
    damping = _DAMPING * variance.mean(axis=1) + 1e-12
    order = np.argsort(-variance, axis=1)  # what counts most is rounded most freely
    damped = covariance + damping[:, None, None] * np.eye(terms)
    damped = np.take_along_axis(damped, order[:, :, None], axis=1)
    damped = np.take_along_axis(damped, order[:, None, :], axis=2)
    spread = np.linalg.cholesky(np.linalg.inv(damped)).transpose(0, 2, 1)
    left = np.take_along_axis(weights.astype(np.float64), order[:, None, :], axis=2)
    rounded = np.empty(weights.shape, np.int8)
    for place in range(terms):
        integers = np.clip(np.round(left[:, :, place] / steps), -127, 127)
        error = (left[:, :, place] - integers * steps) / spread[:, None, place, place]
        left[:, :, place:] -= error[:, :, None] * spread[:, None, place, place:]
        np.put_along_axis(rounded, order[:, None, place, None], integers[:, :, None], axis=2)
    return rounded


def windows(
    image: np.ndarray,
    kernel_size: tuple[int, int],
    strides: tuple[int, int],
    same: bool,
    rng: np.random.Generator,
) -> np.ndarray:
    """Cut out what a convolution sees at some of its positions.

    Args:
        image: shape (height, width, channels).
        kernel_size: (height, width).
        strides: (vertical, horizontal).
        same: whether zeros are put around the image, as TensorFlow's "same" padding does.
        rng: chooses the positions.

    Returns:
        Shape (positions, kernel height, kernel width, channels).
    """
    sides = []
    for axis in (0, 1):
        length, size, stride = image.shape[axis], kernel_size[axis], strides[axis]
        sides.append(-(-length // stride) if same else (length - size) // stride + 1)
    if same:
        widths = [(0, 0)] * 3
        for axis, (side, size, stride) in enumerate(zip(sides, kernel_size, strides, strict=True)):
            missing = max((side - 1) * stride + size - image.shape[axis], 0)
            widths[axis] = (missing // 2, missing - missing // 2)
        image = np.pad(image, widths)
    chosen = rng.permutation(sides[0] * sides[1])[:_POSITIONS]
    rows, columns = np.divmod(chosen, sides[1])
    views = np.lib.stride_tricks.sliding_window_view(image, kernel_size, (0, 1))
    return views[rows * strides[0], columns * strides[1]].transpose(0, 2, 3, 1)
