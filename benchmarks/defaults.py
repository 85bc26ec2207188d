"""The table that the default fine-tuning phase was chosen from.

    python -m benchmarks.defaults [--data digits fashion] [--a-class 5 20 100] [--seeds 3] [--quick]

For each data set, size and seed: one head on frozen features, then each candidate from there. The
figures are means over seeds: accuracy on held-out test images of the head alone, of the weights the
candidate kept, and how high the validation loss rose on the way over where it started.
"""

from __future__ import annotations

import argparse
import collections
import time

import keras
import numpy as np
from sklearn.datasets import load_digits

import tftune
from benchmarks import fashion_mnist
from tftune.cache.trunk_pass import boundary_activations
from tftune.training.boundary import CutModel

CANDIDATES = {
    "3e-4": {"learning_rate": 3e-4},
    "1e-4": {"learning_rate": 1e-4},
    "3e-4, decay 0.7, clip 1": {"learning_rate": 3e-4, "layer_decay": 0.7, "clip_norm": 1.0},
    "1e-4, decay 0.7, warm-up 0.3": {"learning_rate": 1e-4, "layer_decay": 0.7, "warm_up": 0.3},
    "3e-5": {"learning_rate": 3e-5},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["digits", "fashion"])
    parser.add_argument("--a-class", nargs="+", type=int, default=[5, 20, 100])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--test", type=int, default=500)
    parser.add_argument("--side", type=int, default=224, help="pixels")
    parser.add_argument("--quick", action="store_true", help="one seed, 96 pixels, 100 test images")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seeds, arguments.side, arguments.test = 1, 96, 100
    print(f"{'data':<8} {'a class':>7}  {'candidate':<29} {'head':>5} {'kept':>5} {'rise':>6}")
    for name in arguments.data:
        for count in arguments.a_class:
            rows = collections.defaultdict(list)
            for seed in range(arguments.seeds):
                _measure(_data(name, count, arguments.test, seed), seed, arguments, rows)
            for candidate, figures in rows.items():
                head, kept, rise = np.mean(figures, axis=0)
                print(
                    f"{name:<8} {count:>7}  {candidate:<29} {head:5.3f} {kept:5.3f} {rise:6.2f}",
                    flush=True,
                )


def _data(name: str, a_class: int, num_test: int, seed: int) -> tftune.Dataset:
    """Draw `a_class` training images a class, a quarter as many (at least two) to validate."""
    generator = np.random.default_rng(seed)
    if name == "digits":
        digits = load_digits()
        images = (digits.images * (255 / 16)).astype(np.uint8).repeat(8, 1).repeat(8, 2)
        labels = digits.target
    else:
        (images, labels), _ = fashion_mnist.load()
    order = generator.permutation(len(labels))
    validate = max(2, a_class // 4)
    places = [[i for i in order if labels[i] == c][: a_class + validate] for c in range(10)]
    train = [i for place in places for i in place[:a_class]]
    validation = [i for place in places for i in place[a_class:]]
    test = [i for i in order if i not in {*train, *validation}][:num_test]
    chosen = np.array(train + validation + test)
    split = ["train"] * len(train) + ["validation"] * len(validation) + ["test"] * len(test)
    names = [str(label) for label in range(10)]
    return tftune.load_image_arrays(images[chosen], labels[chosen].astype(int), names, split=split)


def _measure(
    data: tftune.Dataset, seed: int, arguments: argparse.Namespace, rows: dict[str, list]
) -> None:
    keras.utils.set_random_seed(seed)
    side = (arguments.side, arguments.side)
    model = tftune.build_image_classifier("efficientnet_lite0", data, image_size=side)
    plan = tftune.plan(model, data, seed=seed)
    tftune.fine_tune(model, data, plan.replace(phases=plan.phases[:1]), verbose=False)
    weights = model.keras_model.get_weights()
    head = _test_accuracy(model, data, plan.phases[1].unfreeze)
    for candidate, settings in CANDIDATES.items():
        started = time.perf_counter()
        model.keras_model.set_weights(weights)
        phase = plan.phases[1].replace(epochs=arguments.epochs, **settings)
        before = tftune.Phase("feature_extraction", "none", 0, 1e-3)
        two = tftune.Plan((before, phase), seed=seed)
        run = tftune.fine_tune(model, data, two, verbose=False)
        rise = run.history["val_loss"].max() / run.validation["feature_extraction"].metrics["loss"]
        kept = _test_accuracy(model, data, phase.unfreeze)
        rows[candidate].append((head, kept, rise))
        seconds = time.perf_counter() - started
        print(f"  seed {seed}: {candidate}: {kept:.3f}, {seconds:.0f} s", flush=True)


def _test_accuracy(model: tftune.TransferModel, data: tftune.Dataset, unfreeze: int) -> float:
    boundary = model.boundary_below(unfreeze)
    trunk, top = model.cut(boundary)
    rows = boundary_activations(trunk, data.test.examples)
    logits = CutModel(model, top, boundary, {"test": rows}).logits(data.test)
    return float((logits.argmax(axis=1) == data.test.labels).mean())


if __name__ == "__main__":
    main()
