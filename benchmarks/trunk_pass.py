"""One feature pass and ten head epochs against one bare Keras `predict` pass on the same images.

    python -m benchmarks.trunk_pass [--backbone efficientnet_lite0] [--images 400] [--repeats 3]
    python -m benchmarks.trunk_pass --phases [--backbone ...] [--images ...] [--repeats ...]
    python -m benchmarks.trunk_pass --memory

Both sides read the same JPEG files at 224 pixels, with a network built anew, and run alternately in
this process. The tftune side starts from an empty cache and includes hashing the files and the
weights, choosing the engine (with the conversion, if it converts), writing the rows and training a
head on them for ten epochs. It runs a second time with the conversion of the first still in the
cache, as on the second dataset that a backbone sees. The weights are random: they do not change
the arithmetic's cost. The time that the cores were busy is shown beside: other programs on the
machine change it little.

`--phases` compares filling the cache for both phases of the default plan when each boundary's rows
are made from the images with making the pooled rows from those of the second phase, as plans do.

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
from benchmarks import own_data
from benchmarks.results import OWN_IMAGES, Results, add_arguments, describe
from tftune.cache.activations import Activations
from tftune.cache.store import ActivationStore
from tftune.cache.trunk_pass import boundary_activations
from tftune.config.image_input import ImageInput
from tftune.data.pipeline import image_batches
from tftune.progress import Progress
from tftune.training.batches import cached_epochs
from tftune.training.rows import PlannedRows

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
    parser.add_argument("--phases", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    add_arguments(parser, OWN_IMAGES)
    arguments = parser.parse_args()
    if arguments.peak:
        _peak(arguments.peak)
        return
    if arguments.memory:
        _memory(arguments.images)
        return
    if arguments.phases:
        _phases(arguments)
        return
    results = Results("trunk_pass", arguments.minutes, arguments.fresh, arguments.data)
    group = {"backbone": arguments.backbone, "images": arguments.images}
    with tempfile.TemporaryDirectory() as folder:
        data = photographs(Path(folder), arguments.images, arguments.data)
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
        busy = results.median(f"{side}_busy", **group) / results.median("predict_busy", **group)
        print(
            f"  {meaning:<36} {seconds:5.1f} s  ratio {seconds / predict:.2f}  "
            f"(of the time that cores were busy {busy:.2f})"
        )
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
            started = _Clock()
            images = image_batches(split.examples, model.image_input, BATCH_SIZE)
            model.keras_model.predict(images, verbose=0)
            figures.update(started.figures("predict"))
            continue
        with tempfile.TemporaryDirectory() as cache:
            for name in SIDES:
                split = _again(folder)
                started = _Clock()
                activations = _pass_and_head(model, split, ActivationStore(cache))
                figures.update(started.figures(name))
                figures[f"{name}_pass"] = activations.report.seconds
                if name == "first":
                    figures["engine"] = f"{activations.engine}: {activations.report.reason}"
                del activations
                for rows in Path(cache).glob("activations/*/float32"):
                    shutil.rmtree(rows)
    return figures


def _phases(arguments: argparse.Namespace) -> None:
    results = Results("trunk_pass_phases", arguments.minutes, arguments.fresh, arguments.data)
    group = {"backbone": arguments.backbone, "images": arguments.images}
    with tempfile.TemporaryDirectory() as folder:
        data = photographs(Path(folder), arguments.images, arguments.data)
        model = tftune.build_image_classifier(
            arguments.backbone, data, weights=None, image_size=(224, 224)
        )
        plan = tftune.plan(model, data, estimate=False)
        boundaries = [model.boundary_below(phase.unfreeze) for phase in plan.phases]
        for case in results.todo({**group, "repeat": r} for r in range(arguments.repeats)):
            figures = {}
            for side in ("apart", "together") if case["repeat"] % 2 else ("together", "apart"):
                split = _again(Path(folder))
                with tempfile.TemporaryDirectory() as cache:
                    store = ActivationStore(cache)
                    rows = PlannedRows(model, plan, Progress(False), store)
                    started = time.perf_counter()
                    for boundary in boundaries:
                        if side == "together":
                            rows.of(split, boundary)
                        else:
                            boundary_activations(
                                model.cut(boundary)[0], split.examples, store=store
                            )
                    figures[side] = time.perf_counter() - started
            results.add(case, figures)
    apart, together = (results.median(side, **group) for side in ("apart", "together"))
    print(
        f"\n{arguments.backbone}, {arguments.images} images, medians of "
        f"{len(results.rows(**group))}: rows at {' and '.join(boundaries)}, each from the images "
        f"{apart:.1f} s, one from the other {together:.1f} s: ratio {together / apart:.2f}\n"
        f"{describe()}"
    )


class _Clock:
    """Takes the time, and how long this process kept cores busy."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._busy = time.process_time()

    def figures(self, name: str) -> dict[str, float]:
        return {
            name: time.perf_counter() - self._started,
            f"{name}_busy": time.process_time() - self._busy,
        }


def _again(folder: Path) -> tftune.Split:
    """Load the images as if they had not been seen, so that hashing them counts."""
    return tftune.load_image_folder(folder, validation_share=0, test_share=0).train


def photographs(
    folder: Path, count: int, data: Path | None = None, side: int = 256
) -> tftune.Dataset:
    """Write smooth noise as JPEG files, which decode like photographs, in two classes.

    Args:
        folder: to write to.
        count: how many.
        data: the reader's own folder, of which as many are copied instead.
        side: pixels a side of the noise.
    """
    if data:
        own_data.copy(own_data.images(data, count).train, folder)
        return tftune.load_image_folder(folder, validation_share=0, test_share=0)
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
