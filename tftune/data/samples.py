"""Real images that need no download, to try things out on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

IMAGES_A_CLASS = 48
SIDE = 96


def write_digits(folder: Path, images_a_class: int = IMAGES_A_CLASS) -> None:
    """Write scikit-learn's scanned digits as PNG files, one folder a class.

    Args:
        folder: where to write; made.
        images_a_class: how many of each digit.
    """
    from sklearn.datasets import load_digits  # scikit-learn is slow to import

    digits = load_digits()
    for label in range(10):
        (folder / str(label)).mkdir(parents=True)
        for index in np.flatnonzero(digits.target == label)[:images_a_class]:
            # The scans are 8 x 8 with 17 gray levels; enlarged so that a person can look at them.
            gray = (digits.images[index] * (255 / 16)).round().astype(np.uint8)
            enlarged = Image.fromarray(gray).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            enlarged.save(folder / str(label) / f"{index:04d}.png")
