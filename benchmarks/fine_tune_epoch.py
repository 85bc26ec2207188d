"""A fine-tuning epoch of the top fifth of the operations from the cache, against plain Keras.

    python -m benchmarks.fine_tune_epoch [--backbone resnet50] [--images 400] [--repeats 3]

Both sides train the same layers of the same network (the top stages that hold at most a fifth of
the backbone's operations; BatchNormalization frozen) with AdamW on the same JPEG files at 224
pixels, run alternately in this process, and validate on 32 images after each epoch. The plain side
is the usual `fit` with the lower layers frozen, over a pipeline that decodes and prefetches. On
both, the first steps, in which graphs are traced, do not count. What filling the cache costs once
is shown beside. Weights are random: they do not change the arithmetic's cost.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

import tftune
from benchmarks.results import OWN_IMAGES, Results, add_arguments, describe
from benchmarks.trunk_pass import photographs
from tftune.cache.store import ActivationStore
from tftune.training.batches import online_epochs

BATCH_SIZE = 32
SHARE = 0.2
VALIDATION = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    add_arguments(parser, OWN_IMAGES)
    arguments = parser.parse_args()
    results = Results("fine_tune_epoch", arguments.minutes, arguments.fresh, arguments.data)
    group = {"backbone": arguments.backbone, "images": arguments.images}
    with tempfile.TemporaryDirectory() as folder:
        data = _data(Path(folder), arguments.images, arguments.data)
        for case in results.todo({**group, "repeat": r} for r in range(arguments.repeats)):
            results.add(case, _measure(data, case))
    plain, cached = (results.median(side, **group) for side in ("plain", "cached"))
    held = results.median("share", **group)
    print(
        f"\n{arguments.backbone}, {arguments.images} images, top {held:.0%} of the operations, "
        f"medians of {len(results.rows(**group))}: plain Keras {plain:.2f} s an epoch, tftune from "
        f"the cache {cached:.2f} s: ratio {cached / plain:.2f}\n(filling the cache once: "
        f"{results.median('fill', **group):.1f} s)\n{describe()}"
    )


def _data(folder: Path, count: int, data: Path | None) -> tftune.Dataset:
    everything = photographs(folder, count + VALIDATION, data).train
    return tftune.Dataset(
        train=everything.take(range(count)),
        validation=everything.take(range(count, count + VALIDATION)),
        test=everything.take([]),
        source="photographs",
    )


def _measure(data: tftune.Dataset, case: dict[str, Any]) -> dict[str, float]:
    figures = {}
    sides = [_plain, _cached]
    for side in sides if case["repeat"] % 2 else sides[::-1]:
        keras.utils.set_random_seed(case["repeat"])
        model = tftune.build_image_classifier(
            case["backbone"], data, weights=None, image_size=(224, 224)
        )
        count, held = top_stages(model)
        figures.update(side(model, data, count), share=held)
    return figures


def top_stages(model: tftune.TransferModel) -> tuple[int, float]:
    """Count the top stages within a fifth of the operations, at least one, and what they hold."""
    total = sum(stage.flops for stage in model.stages)
    count, held = 1, model.stages[-1].flops
    for stage in model.stages[-2::-1]:
        if held + stage.flops > SHARE * total:
            break
        count, held = count + 1, held + stage.flops
    return count, held / total


def _plain(model: tftune.TransferModel, data: tftune.Dataset, unfreeze: int) -> dict[str, float]:
    model.set_trainable(unfreeze)
    network = model.keras_model
    network.compile(
        keras.optimizers.AdamW(1e-4),
        keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    clock = _Clock()
    train = online_epochs(data.train, model.image_input, BATCH_SIZE, 1, 0)
    validation = online_epochs(data.validation, model.image_input, BATCH_SIZE, 1, None)
    warm_up = train.take(2).apply(tf.data.experimental.assert_cardinality(2))
    network.fit(warm_up, validation_data=validation, verbose=0)
    network.fit(train, validation_data=validation, verbose=0, callbacks=[clock])
    return {"plain": clock.seconds[-1]}


def _cached(model: tftune.TransferModel, data: tftune.Dataset, unfreeze: int) -> dict[str, float]:
    phase = tftune.Phase("fine_tuning", unfreeze, 4, 1e-4, batch_size=BATCH_SIZE)
    with tempfile.TemporaryDirectory() as cache:
        run = tftune.fine_tune(
            model, data, tftune.Plan((phase,)), verbose=False, store=ActivationStore(cache)
        )
    return {
        "cached": statistics.median(run.history["seconds"][1:]),
        "fill": run.timings["fine_tuning cache"],
    }


class _Clock(keras.callbacks.Callback):
    """Takes the time of every epoch, its validation included."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.seconds.append(time.perf_counter() - self._started)


if __name__ == "__main__":
    main()
