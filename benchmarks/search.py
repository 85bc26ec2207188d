"""Twenty trials of a head: `tftune.search` against keras-tuner used the usual way.

    python -m benchmarks search [--epochs 5] [--keras-trials 3] [--minutes 4]

Both sides search the same four settings by keras-tuner's Bayesian oracle on 400 scans of digits at
224 pixels, with the ImageNet weights of EfficientNet-Lite0, as many epochs a trial. The usual way
builds the frozen backbone in every trial and runs it on every image of every epoch; its images are
decoded and resized once and kept in memory. A trial of it takes minutes, so fewer are run and their
mean is scaled to twenty. tftune's time is that of the whole call on an empty cache, with the
evaluation of two models on 100 test images at its end.

Then, with the cache filled: fifty trials of twenty epochs and what they leave on disk. And the peak
memory of a process after 20 trials, and after 200 more (random oracle); and of one that fine-tunes
a TF-Hub text encoder of 22 million weights, with 4 such trials and, in another process, with 16.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import tensorflow as tf

import tftune
from benchmarks.digits import digits
from benchmarks.results import FOLDER, OWN_IMAGES, Results, add_arguments, describe
from tftune.builders.efficientnet_lite import efficientnet_lite0
from tftune.cache.store import ActivationStore
from tftune.config.image_input import ImageInput
from tftune.data.pipeline import image_batches

SIZE = (224, 224)
IMAGES = 400
TEST = 100
TRIALS = 20
SPACE = tftune.SearchSpace(
    dropout=tftune.Float(0.0, 0.5),
    label_smoothing=0.0,
    optimizer=tftune.Choice("adamw", "sgd"),
    weight_decay=1e-4,
    batch_size=tftune.Choice(16, 32),
    head_rate=tftune.Float(1e-4, 1e-2, log=True),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--keras-trials", type=int, default=3)
    parser.add_argument("--in-process", type=int, help=argparse.SUPPRESS)
    add_arguments(parser, OWN_IMAGES)
    arguments = parser.parse_args()
    if arguments.in_process is not None:
        count = arguments.in_process
        print(json.dumps(_hub_memory(count) if count else _memory()))
        return
    results = Results("search", arguments.minutes, arguments.fresh, arguments.data)
    group = {"epochs": arguments.epochs}
    cases = [
        {**group, "part": "tftune", "trials": TRIALS},
        {**group, "part": "keras-tuner", "trial": 0},
        {"part": "cached", "trials": 50, "epochs": 20},
        {"part": "memory"},
        {"part": "hub memory", "trials": 4},
        {"part": "hub memory", "trials": 16},
        *({**group, "part": "keras-tuner", "trial": t} for t in range(1, arguments.keras_trials)),
    ]
    with tempfile.TemporaryDirectory() as folder:
        data = digits(Path(folder), IMAGES, arguments.data)
        data = dataclasses.replace(data, test=data.test.take(range(TEST)))
        for case in results.todo(cases):
            results.add(case, _measure(case, data, Path(folder)))
    _tell(results, arguments.epochs)
    print(describe())


def _measure(case: dict[str, Any], data: tftune.Dataset, folder: Path) -> dict[str, Any]:
    if case["part"] == "tftune":
        return _tftune(data, case["epochs"], folder)
    if case["part"] == "keras-tuner":
        return _keras_tuner(data, case["epochs"], case["trial"])
    if case["part"] == "cached":
        return _cached(data, case["trials"], case["epochs"], folder)
    program = [
        sys.executable,
        "-m",
        "benchmarks.search",
        "--in-process",
        str(case.get("trials", 0)),
    ]
    told = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    return json.loads(told.splitlines()[-1])


def _tftune(data: tftune.Dataset, epochs: int, folder: Path) -> dict[str, Any]:
    started = time.perf_counter()
    model = tftune.build_image_classifier("efficientnet_lite0", data, image_size=SIZE)
    found = tftune.search(
        model,
        data,
        trials=TRIALS,
        fine_tune_trials=0,
        space=SPACE.replace(head_epochs=epochs),
        verbose=False,
        store=ActivationStore(folder / "empty"),
    )
    seconds = time.perf_counter() - started
    ended = found.trials[1:]
    return {
        "seconds": seconds,
        "best": float(ended["accuracy"].max()),
        "first": [float(accuracy) for accuracy in ended["accuracy"]],
        "test": found.test["best"].accuracy,
    }


def _keras_tuner(data: tftune.Dataset, epochs: int, trial: int) -> dict[str, Any]:
    """Run one more trial of a search that is kept on disk."""
    pixels, labels = {}, {}
    for split in (data.train, data.validation):
        pixels[split.name] = np.concatenate(list(image_batches(split.examples, ImageInput(SIZE))))
        labels[split.name] = split.labels
    started = time.perf_counter()
    tuner = keras_tuner.BayesianOptimization(
        _build,
        keras_tuner.Objective("val_accuracy", "max"),
        max_trials=trial + 1,
        num_initial_points=TRIALS // 3,
        seed=1,
        directory=str(FOLDER),
        project_name="keras_tuner_search",
        overwrite=trial == 0,
    )
    tuner.search(
        pixels["train"],
        labels["train"],
        validation_data=(pixels["validation"], labels["validation"]),
        epochs=epochs,
        verbose=0,
    )
    seconds = time.perf_counter() - started
    scores = [t.score for t in tuner.oracle.get_best_trials(trial + 1)]
    return {"seconds": seconds, "best": float(max(scores))}


class _BatchSize(keras_tuner.HyperModel):
    """What the guides to keras-tuner show: the model in `build`, the batch size in `fit`."""

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        base = efficientnet_lite0(input_shape=(*SIZE, 3))
        base.trainable = False
        inputs = keras.Input((*SIZE, 3))
        values = keras.layers.Rescaling(1 / 128, offset=-127 / 128)(inputs)
        features = keras.layers.GlobalAveragePooling2D()(base(values, training=False))
        dropped = keras.layers.Dropout(hp.Float("dropout", 0.0, 0.5))(features)
        outputs = keras.layers.Dense(10)(dropped)
        network = keras.Model(inputs, outputs)
        rate = hp.Float("head_rate", 1e-4, 1e-2, sampling="log")
        kinds = {
            "adamw": lambda: keras.optimizers.AdamW(rate, weight_decay=1e-4),
            "sgd": lambda: keras.optimizers.SGD(rate, momentum=0.9, weight_decay=1e-4),
        }
        network.compile(
            kinds[hp.Choice("optimizer", list(kinds))](),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        return network

    def fit(self, hp: Any, model: keras.Model, *arguments: Any, **settings: Any) -> Any:
        size = hp.Choice("batch_size", [16, 32])
        return model.fit(*arguments, batch_size=size, **settings)


_build = _BatchSize()


def _cached(data: tftune.Dataset, trials: int, epochs: int, folder: Path) -> dict[str, Any]:
    model = tftune.build_image_classifier("efficientnet_lite0", data, image_size=SIZE)
    output = folder / "found"
    store = ActivationStore(folder / "empty")
    for count in (1, trials):  # the first call fills the cache
        found = tftune.search(
            model,
            data,
            trials=count,
            fine_tune_trials=0,
            space=SPACE.replace(head_epochs=epochs),
            verbose=False,
            store=store,
            output=output,
            overwrite=True,
        )
    sizes = {path: path.stat().st_size for path in output.rglob("*") if path.is_file()}
    return {
        "seconds": found.seconds["cache"] + found.seconds["head trials"],
        "megabytes": sum(sizes.values()) / 1e6,
        "megabytes_without_winner": sum(
            size for path, size in sizes.items() if path.suffix != ".keras"
        )
        / 1e6,
    }


def _memory() -> dict[str, float]:
    """Search heads of a small image model, 20 trials and 200 more."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 255, (400, 32, 32, 3), dtype=np.uint8)
    labels = generator.integers(0, 10, 400)
    data = tftune.load_image_arrays(pixels, labels, class_names=[str(c) for c in range(10)])
    model = tftune.build_image_classifier(
        "efficientnet_lite0", data, image_size=(32, 32), weights=None
    )
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        for trials in (20, 200):
            tftune.search(
                model,
                data,
                trials=trials,
                fine_tune_trials=0,
                oracle="random",
                space=SPACE.replace(head_epochs=2),
                verbose=False,
                store=ActivationStore(folder),
            )
            peaks[f"megabytes_{trials}"] = _peak()
    return peaks


def _hub_memory(trials: int) -> dict[str, float]:
    """Fine-tune an encoder from TF-Hub as a whole, in so many trials."""
    generator = np.random.default_rng(0)
    words = [f"word{number}" for number in range(200)]
    texts = [" ".join(generator.choice(words, 8)) for _ in range(200)]
    data = tftune.load_texts(texts, ["even" if "word0" in t else "odd" for t in texts])
    with tempfile.TemporaryDirectory() as folder:
        _write_encoder(Path(folder, "encoder"))
        tftune.search(
            tftune.build_text_classifier(Path(folder, "encoder"), data),
            data,
            trials=1,
            fine_tune_trials=trials,
            oracle="random",
            space=SPACE.replace(
                head_epochs=1, fine_tune_epochs=1, fine_tune_rate=tftune.Float(1e-4, 1e-3)
            ),
            verbose=False,
            store=ActivationStore(folder),
        )
    return {"megabytes": _peak()}


def _write_encoder(folder: Path) -> None:
    """Write what TF-Hub's encoders of strings are: a table of 22 million weights here."""
    buckets, width = 343_750, 64
    first = np.random.default_rng(0).normal(0, 1, (buckets, width)).astype(np.float32)
    table = tf.Variable(first, name="table")

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def call(texts: tf.Tensor) -> tf.Tensor:
        split = tf.strings.split(texts)
        rows = tf.gather(table, tf.strings.to_hash_bucket_fast(split.flat_values, buckets))
        return tf.math.unsorted_segment_mean(rows, split.value_rowids(), split.nrows())

    module = tf.train.Checkpoint(table=table)
    module.__call__ = call
    module.variables, module.trainable_variables = [table], [table]
    tf.saved_model.save(module, str(folder))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _tell(results: Results, epochs: int) -> None:
    ours = results.rows(part="tftune", epochs=epochs)
    usual = results.rows(part="keras-tuner", epochs=epochs)
    if ours and usual:
        mean = float(np.mean([row["figures"]["seconds"] for row in usual]))
        seconds = ours[0]["figures"]["seconds"]
        alike = max(ours[0]["figures"]["first"][: len(usual)])
        print(
            f"\n{TRIALS} trials of {epochs} epochs on {IMAGES} images: tftune {seconds:.1f} s in "
            f"all; keras-tuner {mean:.1f} s a trial (mean of {len(usual)}), {mean * TRIALS:.0f} s "
            f"for {TRIALS}: {mean * TRIALS / seconds:.0f} times as fast.\nBest validation "
            f"accuracy: keras-tuner {usual[-1]['figures']['best']:.3f} after {len(usual)} trials, "
            f"tftune {alike:.3f} after as many, {ours[0]['figures']['best']:.3f} after {TRIALS} "
            f"(test {ours[0]['figures']['test']:.3f})."
        )
    for row in results.rows(part="cached"):
        figures = row["figures"]
        print(
            f"50 trials of 20 epochs with the cache filled: {figures['seconds']:.1f} s; on disk "
            f"{figures['megabytes_without_winner']:.1f} MB, with the winning model "
            f"{figures['megabytes']:.1f} MB."
        )
    few, many = (results.median(f"megabytes_{t}", part="memory") for t in (20, 200))
    print(
        f"Peak memory: {few:.0f} MB after 20 trials, {many:.0f} after 200 more: {many / few:.2f}."
    )
    few, many = (results.median("megabytes", part="hub memory", trials=t) for t in (4, 16))
    print(
        f"Fine-tuning an encoder from TF-Hub: {few:.0f} MB with 4 trials, {many:.0f} with 16: "
        f"{(many - few) / 12:.0f} MB a trial."
    )


if __name__ == "__main__":
    main()
