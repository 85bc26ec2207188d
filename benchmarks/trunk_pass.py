"""One feature pass and ten head epochs against one bare Keras `predict` pass on the same images.

    python -m benchmarks.trunk_pass [--backbone efficientnet_lite0] [--images 400] [--repeats 3]
    python -m benchmarks.trunk_pass --memory

Both sides read the same JPEG files at 224 pixels, with a network built anew, and run alternately in
this process. The tftune side starts from an empty cache and includes hashing the files and the
weights, choosing the engine (with the conversion, if it converts), writing the rows and training a
head on them for ten epochs. It runs a second time with the conversion of the first still in the
cache, as on the second dataset that a backbone sees. The weights are random: they do not change
the arithmetic's cost.

`--memory` prints the peak memory of a pass and two epochs of gathering, in processes of their own,
for a number of examples and for ten times as many.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image

import tftune
from benchmarks.results import Results, add_arguments, describe
from tftune.cache.activations import Activations
from tftune.cache.store import ActivationStore
from tftune.cache.trunk_pass import boundary_activations
from tftune.config.image_input import ImageInput
from tftune.data.pipeline import image_batches
from tftune.training.batches import cached_epochs

EPOCHS = 10
SIDES = {
    "first": "the backbone's first pass",
    "again": "other images, converted before",
}
BATCH_SIZE = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    add_arguments(parser)
    arguments = parser.parse_args()
    if arguments.peak:
        _peak(arguments.peak)
        return
    if arguments.memory:
        _memory(arguments.images)
        return
    results = Results("trunk_pass", arguments.minutes, arguments.fresh)
    group = {"backbone": arguments.backbone, "images": arguments.images}
    with tempfile.TemporaryDirectory() as folder:
        data = photographs(Path(folder), arguments.images)
        for case in results.todo({**group, "repeat": r} for r in range(arguments.repeats)):
            results.add(case, _measure(data, case))
    predict = results.median("predict", **group)
    print(
        f"\n{arguments.backbone}, {arguments.images} images, medians of "
        f"{len(results.rows(**group))}: Keras predict {predict:.1f} s\ntftune's pass and {EPOCHS} "
        "head epochs, over that:"
    )
    for side, meaning in SIDES.items():
        seconds = results.median(side, **group)
        print(f"  {meaning:<36} {seconds:5.1f} s  ratio {seconds / predict:.2f}")
    print(f"engine {results.rows(**group)[-1]['figures']['engine']}\n{describe()}")


def _measure(data: tftune.Dataset, case: dict[str, Any]) -> dict[str, Any]:
    """Run Keras and tftune in turn, and tftune once more on other images' conversion."""
    figures: dict[str, Any] = {}
    folder = Path(data.train.examples.paths[0]).parents[1]
    sides = ["keras", "tftune"]
    for side in sides if case["repeat"] % 2 else sides[::-1]:
        keras.utils.set_random_seed(case["repeat"])
        model = tftune.build_image_classifier(
            case["backbone"], data, weights=None, image_size=(224, 224)
        )
        if side == "keras":
            split = _again(folder)
            started = time.perf_counter()
            images = image_batches(split.examples, model.image_input, BATCH_SIZE)
            model.keras_model.predict(images, verbose=0)
            figures["predict"] = time.perf_counter() - started
            continue
        with tempfile.TemporaryDirectory() as cache:
            for name in SIDES:
                split = _again(folder)
                started = time.perf_counter()
                activations = _pass_and_head(model, split, ActivationStore(cache))
                figures[name] = time.perf_counter() - started
                figures[f"{name}_pass"] = activations.report.seconds
                if name == "first":
                    figures["engine"] = f"{activations.engine}: {activations.report.reason}"
                del activations
                for rows in Path(cache).glob("activations/*/float32"):
                    shutil.rmtree(rows)
    return figures


def _again(folder: Path) -> tftune.Split:
    """Load the images as if they had not been seen, so that hashing them counts."""
    return tftune.load_image_folder(folder, validation_share=0, test_share=0).train


def photographs(folder: Path, count: int, side: int = 256) -> tftune.Dataset:
    """Write smooth noise as JPEG files, which decode like photographs, in two classes."""
    generator = np.random.default_rng(0)
    for index in range(count):
        coarse = generator.integers(0, 256, (side // 8, side // 8, 3)).astype(np.uint8)
        place = folder / str(index % 2)
        place.mkdir(exist_ok=True)
        image = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
        image.save(place / f"{index:05d}.jpg", quality=90)
    return tftune.load_image_folder(folder, validation_share=0, test_share=0)


def _pass_and_head(
    model: tftune.TransferModel, split: tftune.Split, store: ActivationStore
) -> Activations:
    trunk, top = model.cut("pooled")
    activations = boundary_activations(trunk, split.examples, store=store)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    top.compile(keras.optimizers.Adam(1e-3), loss)
    batches = cached_epochs([activations], split.labels, BATCH_SIZE, None, 0)
    steps = -(-len(split) // BATCH_SIZE)
    top.fit(batches, epochs=EPOCHS, steps_per_epoch=steps, shuffle=False, verbose=0)
    return activations


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
        contract = ImageInput((32, 32))
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
