"""One feature pass and ten head epochs against one bare Keras `predict` pass on the same images.

    python -m benchmarks.trunk_pass [--backbone efficientnet_lite0] [--images 400] [--repeats 3]
    python -m benchmarks.trunk_pass --memory

Both sides read the same JPEG files at 224 pixels, with a network built anew, and run alternately in
this process. The tftune side starts from an empty cache and includes hashing the files and the
weights, choosing the engine (with the conversion, if it converts), writing the rows and training a
head on them for ten epochs. The weights are random: they do not change the arithmetic's cost.

`--memory` prints the peak memory of a pass and two epochs of gathering, in processes of their own,
for a number of examples and for ten times as many.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from PIL import Image

import tftune
from tftune.cache.store import ActivationStore
from tftune.cache.trunk_pass import boundary_activations
from tftune.config.image_input import ImageInput
from tftune.data.pipeline import image_batches
from tftune.training.batches import cached_epochs

EPOCHS = 10
BATCH_SIZE = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        _peak(arguments.peak)
        return
    if arguments.memory:
        _memory(arguments.images)
        return
    sides = {"Keras predict": _predict, "tftune": _tftune}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    cpu_seconds: dict[str, list[float]] = {name: [] for name in sides}
    with tempfile.TemporaryDirectory() as folder:
        data = _photographs(Path(folder), arguments.images)
        for repeat in range(arguments.repeats):
            order = list(sides) if repeat % 2 == 0 else list(sides)[::-1]
            for name in order:
                keras.utils.set_random_seed(repeat)
                model = tftune.build_image_classifier(
                    arguments.backbone, data, weights=None, image_size=(224, 224)
                )
                split = tftune.load_image_folder(folder, validation_share=0, test_share=0).train
                started, cpu_started = time.perf_counter(), time.process_time()
                note = sides[name](model, split)
                seconds[name].append(time.perf_counter() - started)
                cpu_seconds[name].append(time.process_time() - cpu_started)
                print(
                    f"{name:<14} {seconds[name][-1]:6.1f} s, {cpu_seconds[name][-1]:6.1f} CPU s  "
                    f"{note}",
                    flush=True,
                )
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratio = medians["tftune"] / medians["Keras predict"]
    cpu = {name: statistics.median(values) for name, values in cpu_seconds.items()}
    print(
        f"\n{arguments.backbone}, {len(split)} images, medians of {arguments.repeats}: Keras "
        f"predict {medians['Keras predict']:.1f} s, tftune's pass and {EPOCHS} head epochs "
        f"{medians['tftune']:.1f} s: ratio {ratio:.2f}\n(of CPU seconds, which other programs on "
        f"the machine disturb less: {cpu['tftune'] / cpu['Keras predict']:.2f})"
    )


def _photographs(folder: Path, count: int, side: int = 256) -> tftune.Dataset:
    """Write smooth noise as JPEG files, which decode like photographs, in two classes."""
    generator = np.random.default_rng(0)
    for index in range(count):
        coarse = generator.integers(0, 256, (side // 8, side // 8, 3)).astype(np.uint8)
        place = folder / str(index % 2)
        place.mkdir(exist_ok=True)
        image = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
        image.save(place / f"{index:05d}.jpg", quality=90)
    return tftune.load_image_folder(folder, validation_share=0, test_share=0)


def _predict(model: tftune.TransferModel, split: tftune.Split) -> str:
    images = image_batches(split.examples, model.image_input, BATCH_SIZE)
    model.keras_model.predict(images, verbose=0)
    return ""


def _tftune(model: tftune.TransferModel, split: tftune.Split) -> str:
    trunk, top = model.cut("pooled")
    started = time.perf_counter()
    fingerprints = len(trunk.fingerprint) + len(split.examples.fingerprints)
    hashed = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as cache:
        activations = boundary_activations(trunk, split.examples, store=ActivationStore(cache))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        top.compile(keras.optimizers.Adam(1e-3), loss)
        batches = cached_epochs([activations], split.labels, BATCH_SIZE, None, 0)
        steps = -(-len(split) // BATCH_SIZE)
        trained = time.perf_counter()
        top.fit(batches, epochs=EPOCHS, steps_per_epoch=steps, verbose=0)
        head = time.perf_counter() - trained
    report = activations.report
    assert fingerprints
    return (
        f"hashing {hashed:.2f} s, pass {report.seconds:.1f} s, head {head:.1f} s; "
        f"{report.engine}: {report.reason}"
    )


def _memory(images: int) -> None:
    peaks = []
    for count in (images, images * 10):
        command = [sys.executable, "-m", "benchmarks.trunk_pass", "--peak", str(count)]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        peaks.append(float(shown.split()[-1]))
        print(f"{count:>7} examples: peak {peaks[-1]:.0f} MB", flush=True)
    print(f"ratio {peaks[1] / peaks[0]:.2f}")


def _peak(count: int) -> None:
    """Cache 64 kB an example and gather two epochs; print the peak memory in MB."""
    inputs = keras.Input((32, 32, 3))
    network = keras.Model(inputs, keras.layers.Conv2D(16, 3, padding="same")(inputs))

    class Trunk:
        keras_model = network
        boundary = "conv"
        image_input = ImageInput((32, 32))
        fingerprint = "benchmark"

        @staticmethod
        def forward(pixels):
            return network(pixels, training=False)

    class Noise:
        """Examples that need no file."""

        def __init__(self, numbers):
            self.numbers = numbers
            self.fingerprints = tuple(f"{number:032x}" for number in numbers)

        def __len__(self):
            return len(self.numbers)

        def take(self, chosen):
            return Noise([self.numbers[index] for index in chosen])

    def batches(examples, size):
        for start in range(0, len(examples), size):
            numbers = np.array(examples.numbers[start : start + size], np.float32)
            yield np.broadcast_to(numbers[:, None, None, None], (len(numbers), 32, 32, 3))

    with tempfile.TemporaryDirectory() as cache:
        activations = boundary_activations(
            Trunk(), Noise(range(count)), store=ActivationStore(cache), batches=batches
        )
        steps = 2 * -(-count // BATCH_SIZE)
        for _ in cached_epochs([activations], np.zeros(count, int), BATCH_SIZE, None, 0).take(
            steps
        ):
            pass
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


if __name__ == "__main__":
    main()
