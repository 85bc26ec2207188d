"""Ways in which images go bad, each at five levels.

Noise, blur, brightness and JPEG are those of ImageNet-C with its own levels; its images are 224
pixels wide, so the blur is scaled with the width. Rotation is not in ImageNet-C; its levels are
ours.

References:
    Hendrycks & Dietterich 2019, https://arxiv.org/abs/1903.12261, and its `make_imagenet_c.py`.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, rotate

Corruption = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
"""From pixels, float in [0, 255], shape (height, width, 3), and a level from 1 to 5, to pixels."""

LEVELS = (1, 2, 3, 4, 5)
_REFERENCE_WIDTH = 224


def noise(pixels: np.ndarray, level: int, generator: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise."""
    deviation = (0.08, 0.12, 0.18, 0.26, 0.38)[level - 1] * 255
    return np.clip(pixels + generator.normal(0, deviation, pixels.shape), 0, 255)


def blur(pixels: np.ndarray, level: int, generator: np.random.Generator) -> np.ndarray:
    """Blur with a Gaussian."""
    sigma = (1, 2, 3, 4, 6)[level - 1] * pixels.shape[1] / _REFERENCE_WIDTH
    return gaussian_filter(pixels, (sigma, sigma, 0))


def brightness(pixels: np.ndarray, level: int, generator: np.random.Generator) -> np.ndarray:
    """Raise the value of HSV; hue and saturation stay."""
    value = pixels.max(axis=-1, keepdims=True)
    raised = np.minimum(value + (0.1, 0.2, 0.3, 0.4, 0.5)[level - 1] * 255, 255)
    # Scaling all channels alike changes the value only; black has no hue and becomes gray.
    brighter = np.where(value > 0, pixels * (raised / np.maximum(value, 1e-6)), raised)
    return np.clip(brighter, 0, 255)


def jpeg(pixels: np.ndarray, level: int, generator: np.random.Generator) -> np.ndarray:
    """Compress as JPEG."""
    stream = io.BytesIO()
    image = Image.fromarray(np.rint(pixels).astype(np.uint8))
    image.save(stream, "JPEG", quality=(25, 18, 15, 10, 7)[level - 1])
    return np.asarray(Image.open(stream).convert("RGB"), float)


def rotation(pixels: np.ndarray, level: int, generator: np.random.Generator) -> np.ndarray:
    """Turn to either side; corners repeat the edge."""
    degrees = (5, 10, 20, 30, 45)[level - 1] * generator.choice([-1, 1])
    turned = rotate(pixels, degrees, axes=(0, 1), reshape=False, order=1, mode="nearest")
    return np.clip(turned, 0, 255)


CORRUPTIONS: dict[str, Corruption] = {
    "noise": noise,
    "blur": blur,
    "brightness": brightness,
    "jpeg": jpeg,
    "rotation": rotation,
}
