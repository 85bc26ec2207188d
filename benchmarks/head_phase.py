"""Ten epochs of the head: tftune's cached phase against plain Keras `fit` on the frozen model.

    python -m benchmarks.head_phase [--images 400] [--repeats 3]

Both sides see the same images in the same split, train the same layer for as many epochs, and run
alternately in this process. The tftune side is its default first phase and includes hashing the
files, filling an empty cache and the probe; the Keras side is what the Keras guide to transfer
learning shows, Adam at 1e-3. Accuracy is measured on scans of digits that neither side trained on.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import keras
import tensorflow as tf

import tftune
from benchmarks.digits import digits
from tftune.cache.store import ActivationStore
from tftune.data.pipeline import image_batches

EPOCHS = 10
BATCH_SIZE = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=400, help="training images")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = digits(Path(folder), arguments.images)
        rows = []
        for repeat in range(arguments.repeats):
            sides = [("plain Keras", _plain_keras), ("tftune", _tftune)]
            for name, side in sides if repeat % 2 else sides[::-1]:
                model = _model(data, seed=repeat)
                started = time.perf_counter()
                side(model, data, repeat)
                seconds = time.perf_counter() - started
                accuracy = tftune.evaluate(model, data.test).accuracy
                rows.append((name, seconds, accuracy))
                print(f"{name:<12} {seconds:6.1f} s  test accuracy {accuracy:.3f}", flush=True)
    medians = {
        name: [statistics.median(row[i] for row in rows if row[0] == name) for i in (1, 2)]
        for name in ("plain Keras", "tftune")
    }
    (keras_seconds, keras_accuracy), (our_seconds, our_accuracy) = medians.values()
    print(
        f"\n{len(data.train)} images, {EPOCHS} epochs, medians of {arguments.repeats}: plain Keras "
        f"{keras_seconds:.1f} s at {keras_accuracy:.3f}, tftune {our_seconds:.1f} s at "
        f"{our_accuracy:.3f}: {keras_seconds / our_seconds:.1f} times as fast"
    )


def _model(data: tftune.Dataset, seed: int) -> tftune.TransferModel:
    keras.utils.set_random_seed(seed)
    return tftune.build_image_classifier("efficientnet_lite0", data)


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
