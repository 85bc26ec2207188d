"""Fixtures: small real files and small random networks."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
from PIL import Image

import tftune


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """Every test starts with an empty activation cache of its own."""
    monkeypatch.setenv("TFTUNE_CACHE", str(tmp_path_factory.mktemp("cache")))


def write_stripes(folder, images_a_class=8, side=48, seed=0):
    """Write PNG images of three classes that a network can tell apart by their stripes."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    patterns = {"diagonal": rows + columns, "horizontal": rows, "vertical": columns}
    for name, distance in patterns.items():
        (folder / name).mkdir(parents=True)
        for index in range(images_a_class):
            width = generator.integers(4, 9)
            stripes = ((distance // width) % 2 * 160 + 40).astype(np.float64)[..., None]
            pixels = stripes * generator.uniform(0.6, 1, 3) + generator.normal(
                0, 8, (side, side, 3)
            )
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(folder / name / f"{index:02d}.png")
    return folder


@pytest.fixture(scope="session")
def stripes_folder(tmp_path_factory):
    return write_stripes(tmp_path_factory.mktemp("data") / "stripes")


@pytest.fixture(scope="session")
def stripes(stripes_folder):
    """24 images: 18 train, 3 validation, 3 test."""
    return tftune.load_image_folder(stripes_folder)


@pytest.fixture
def small_model(stripes):
    """EfficientNet-Lite0 with random weights at 32 pixels."""
    keras.utils.set_random_seed(1)
    return tftune.build_image_classifier(
        "efficientnet_lite0", stripes, image_size=(32, 32), weights=None
    )


@pytest.fixture(scope="session")
def pretrained_model(stripes):
    """EfficientNet-Lite0 with its ImageNet weights at 64 pixels; tests must not train it."""
    return tftune.build_image_classifier("efficientnet_lite0", stripes, image_size=(64, 64))
