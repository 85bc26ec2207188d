"""Ten epochs of the head: tftune's cached phase against plain Keras `fit` on the frozen model.

    python -m benchmarks.head_phase [--backbone efficientnet_lite0] [--images 400]
        [--repeats 3]

Both sides see the same images in the same split, train the same layer for as many epochs, and run
alternately in this process. The tftune side is its default first phase and includes hashing the
files, filling an empty cache and the probe; the Keras side is what the Keras guide to transfer
learning shows, Adam at 1e-3. Accuracy is measured on scans of digits that neither side trained on.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import keras
import tensorflow as tf

import tftune
from benchmarks.digits import digits
from benchmarks.results import OWN_IMAGES, Results, add_arguments, describe
from tftune.cache.store import ActivationStore
from tftune.data.pipeline import image_batches

EPOCHS = 10
BATCH_SIZE = 32
REAL_WEIGHTS = ("efficientnet_lite0",)
"""Backbones whose ImageNet weights are installed; others are timed with random ones."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--images", type=int, default=400, help="training images")
    parser.add_argument("--repeats", type=int, default=3)
    add_arguments(parser, OWN_IMAGES)
    arguments = parser.parse_args()
    results = Results("head_phase", arguments.minutes, arguments.fresh, arguments.data)
    sides = {"plain Keras": _plain_keras, "tftune": _tftune}
    group = {"backbone": arguments.backbone, "images": arguments.images}
    cases = [
        {**group, "repeat": repeat, "side": side}
        for repeat in range(arguments.repeats)
        for side in (sides if repeat % 2 else reversed(sides))
    ]
    with tempfile.TemporaryDirectory() as folder:
        data = digits(Path(folder), arguments.images, arguments.data)
        for case in results.todo(cases):
            model = _model(data, arguments.backbone, case["repeat"])
            started = time.perf_counter()
            sides[case["side"]](model, data, case["repeat"])
            figures = {"seconds": time.perf_counter() - started}
            if arguments.backbone in REAL_WEIGHTS:
                figures["accuracy"] = tftune.evaluate(model, data.test).accuracy
            results.add(case, figures)
    print(f"\n{arguments.backbone}, {arguments.images} images, {EPOCHS} epochs, medians:")
    seconds = {}
    for side in sides:
        rows = results.rows(**group, side=side)
        if not rows:
            return
        seconds[side] = results.median("seconds", **group, side=side)
        told = f"{side:<12} {seconds[side]:6.1f} s ({len(rows)} runs)"
        if arguments.backbone in REAL_WEIGHTS:
            told += f", test accuracy {results.median('accuracy', **group, side=side):.3f}"
        print(told)
    print(f"{seconds['plain Keras'] / seconds['tftune']:.1f} times as fast\n{describe()}")


def _model(data: tftune.Dataset, backbone: str, seed: int) -> tftune.TransferModel:
    keras.utils.set_random_seed(seed)
    weights = "imagenet" if backbone in REAL_WEIGHTS else None
    return tftune.build_image_classifier(backbone, data, weights=weights, image_size=(224, 224))


def _tftune(model: tftune.TransferModel, data: tftune.Dataset, seed: int) -> None:
    with tempfile.TemporaryDirectory() as cache:
        plan = tftune.plan(
            model,
            data,
            head_epochs=EPOCHS,
            fine_tune_epochs=0,
            batch_size=BATCH_SIZE,
            seed=seed,
        )
        tftune.fine_tune(model, data, plan, verbose=False, store=ActivationStore(cache))


def _plain_keras(model: tftune.TransferModel, data: tftune.Dataset, seed: int) -> None:
    """What the Keras guide shows, with its pipeline: decode, resize, cache nothing, prefetch."""

    def batches(split: tftune.Split) -> tf.data.Dataset:
        images = image_batches(split.examples, model.image_input, BATCH_SIZE).unbatch()
        labels = tf.data.Dataset.from_tensor_slices(split.labels)
        return tf.data.Dataset.zip(images, labels)

    train = batches(data.train).shuffle(len(data.train), seed=seed).batch(BATCH_SIZE).prefetch(2)
    validation = batches(data.validation).batch(BATCH_SIZE).prefetch(2)
    model.keras_model.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    model.keras_model.fit(train, validation_data=validation, epochs=EPOCHS, verbose=0)


if __name__ == "__main__":
    main()
