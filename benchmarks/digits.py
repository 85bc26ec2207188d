"""Real data from a wheel: scikit-learn's scans of handwritten digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import tftune
from benchmarks import own_data


def digits(folder: Path, count: int, data: Path | None = None) -> tftune.Dataset:
    """Write enlarged scans to `folder`: `count` train, 100 validate, up to 1,000 more test.

    Args:
        folder: to write to.
        count: how many train.
        data: the reader's own folder, of which as many are taken instead.
    """
    if data:
        return own_data.images(data, count, 100, 1000)
    scans = load_digits()
    order = np.random.default_rng(0).permutation(len(scans.target))[: count + 1100]
    for index in order:
        gray = (scans.images[index] * (255 / 16)).astype(np.uint8)
        target = folder / str(scans.target[index])
        target.mkdir(parents=True, exist_ok=True)
        enlarged = Image.fromarray(gray).resize((96, 96), Image.Resampling.BICUBIC)
        enlarged.save(target / f"{index:04d}.png")
    everything = tftune.load_image_folder(folder, validation_share=0, test_share=0).train
    place = {int(Path(path).stem): i for i, path in enumerate(everything.examples.paths)}
    chosen = [place[int(index)] for index in order]
    return tftune.Dataset(
        train=everything.take(chosen[:count]),
        validation=everything.take(chosen[count : count + 100]),
        test=everything.take(chosen[count + 100 :]),
        source="digits",
    )
