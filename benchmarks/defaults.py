"""The table that the default rule was chosen from, and the figures that it is reported with.

    python -m benchmarks.defaults                        print the tables from what was measured
    python -m benchmarks.defaults --measure choosing     measure (resumable: see --minutes)
    python -m benchmarks.defaults --measure reporting

For each data set, number of training images a class and seed: the probe, the head trained from
it, and each candidate for the second phase from there, all on cached features of EfficientNet-Lite0
with its ImageNet weights. A quarter as many images as are trained on (at least two a class)
validate. Figures are accuracies on held-out test images. Candidates were compared on the seeds and
test images of "choosing"; "reporting" draws other images of Fashion-MNIST by other seeds, and its
test images from that data set's own test file, which "choosing" never reads. (Digits has one file
only; other seeds split it otherwise.) The default is the candidate whose smallest gain over the
rows of "choosing" is the largest, so that it gains on no kind of images at another's cost.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from typing import Any

import keras

import tftune
from benchmarks.draws import draw
from benchmarks.results import OWN_IMAGES, Results, add_arguments, describe
from tftune.cache.store import ActivationStore
from tftune.cache.trunk_pass import boundary_activations
from tftune.training.boundary import CutModel

SEEDS = {"choosing": range(0, 3), "reporting": range(100, 105)}
SIZES = {"fashion": (5, 20, 100, 1000), "digits": (5, 20, 100)}
"""Training images a class; of the reader's own data as of Fashion-MNIST."""
SIDE = 96

DEFAULT = "the default"
CANDIDATES: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    "rate 1e-4": {"fine_tune_rate": 1e-4},
    "rate 1e-3": {"fine_tune_rate": 1e-3},
    "half the epochs": {"epochs": 0.5},
    "light views": {"augment": "light"},
    "light, not mirrored": {
        "augment": [
            keras.layers.RandomTranslation(0.05, 0.05, fill_mode="reflect"),
            keras.layers.RandomZoom((-0.1, 0.025), fill_mode="reflect"),
        ]
    },
}
"""What each candidate asks `tftune.plan` for; `epochs` is a share of the rule's own number."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", choices=list(SEEDS))
    parser.add_argument("--names", nargs="+", default=["fashion", "digits"], help="known data")
    parser.add_argument("--a-class", nargs="+", type=int, default=[5, 20, 100, 1000])
    parser.add_argument("--candidates", nargs="+", default=list(CANDIDATES))
    parser.add_argument("--seeds", type=int, help="only so many of them")
    parser.add_argument("--test", type=int, default=1000, help="test images")
    add_arguments(parser, OWN_IMAGES)
    arguments = parser.parse_args()
    results = Results("defaults", arguments.minutes, arguments.fresh, arguments.data)
    if arguments.measure:
        measure(arguments, results)
    for purpose in SEEDS:
        show(results, purpose, cases(arguments))
    print(describe())


def cases(arguments: argparse.Namespace) -> list[tuple[str, int]]:
    """Return names of data with training images a class."""
    known = {arguments.data.stem: SIZES["fashion"]} if arguments.data else SIZES
    return [(name, size) for name, sizes in known.items() for size in sizes]


def measure(arguments: argparse.Namespace, results: Results) -> None:
    seeds = list(SEEDS[arguments.measure])[: arguments.seeds]
    groups = [
        {"for": arguments.measure, "data": name, "a_class": count, "seed": seed}
        for seed in seeds
        for name, count in cases(arguments)
        if (arguments.data or name in arguments.names) and count in arguments.a_class
    ]
    for group in groups:
        candidates = ["head", *arguments.candidates]
        start = functools.cache(functools.partial(Start, group, arguments))
        for case in results.todo({**group, "candidate": name} for name in candidates):
            results.add(case, start().measure(case["candidate"]))
        if not results.in_time:
            return


class Start:
    """A model with a trained head, from which each candidate begins."""

    def __init__(self, group: dict[str, Any], arguments: argparse.Namespace) -> None:
        self.seed = group["seed"]
        self.data = draw(
            arguments.data or group["data"],
            group["a_class"],
            arguments.test,
            self.seed,
            group["for"] == "reporting",
        )
        keras.utils.set_random_seed(self.seed)
        self.model = tftune.build_image_classifier(
            "efficientnet_lite0", self.data, image_size=(SIDE, SIDE)
        )
        self.cache = tempfile.TemporaryDirectory()
        self.store = ActivationStore(self.cache.name)
        plan = self.plan()
        self.unfreeze = plan.phases[1].unfreeze
        self.figures = {}
        for figure, epochs in (("probe", 0), ("accuracy", plan.phases[0].epochs)):
            phase = plan.phases[0].replace(epochs=epochs)
            run = self.train(plan, phase)
            self.figures[figure] = self.test_accuracy()
            self.figures["val_loss"] = run.validation["feature_extraction"].metrics["loss"]
        self.weights = self.model.keras_model.get_weights()

    def plan(self, **settings: Any) -> tftune.Plan:
        return tftune.plan(self.model, self.data, seed=self.seed, estimate=False, **settings)

    def train(self, plan: tftune.Plan, phase: tftune.Phase) -> tftune.TrainingRun:
        plan = plan.replace(phases=(phase,), stages=())
        return tftune.fine_tune(self.model, self.data, plan, verbose=False, store=self.store)

    def measure(self, candidate: str) -> dict[str, Any]:
        if candidate == "head":
            return self.figures
        started = time.perf_counter()
        self.model.keras_model.set_weights(self.weights)
        settings = dict(CANDIDATES[candidate])
        share = settings.pop("epochs", 1)
        plan = self.plan(**settings)
        phase = plan.phases[1]
        run = self.train(plan, phase.replace(epochs=max(1, round(share * phase.epochs))))
        kept = next(note for note in run.notes if "kept" in note).split("kept ")[1].split("%")[0]
        return {
            "accuracy": self.test_accuracy(),
            "val_loss": run.validation["fine_tuning"].metrics["loss"],
            "kept": int(kept),
            "epochs": len(run.history),
            "seconds": time.perf_counter() - started,
        }

    def test_accuracy(self) -> float:
        boundary = self.model.boundary_below(self.unfreeze)
        trunk, top = self.model.cut(boundary)
        rows = boundary_activations(trunk, self.data.test.examples, store=self.store)
        logits = CutModel(self.model, top, boundary, {"test": rows}).logits(self.data.test)
        return float((logits.argmax(axis=1) == self.data.test.labels).mean())


def show(results: Results, purpose: str, known: Sequence[tuple[str, int]]) -> None:
    """Print a table: accuracy of the probe, and what all else adds to it, in points."""
    names = [
        name for name in ("head", *CANDIDATES) if results.rows(**{"for": purpose}, candidate=name)
    ]
    if not names:
        return
    print(
        f"\n{purpose}: test accuracy of the probe in %, and what the others add to it in points "
        "(mean ± standard error over seeds)\n"
    )
    print(f"| data | a class | seeds | probe | {' | '.join(names)} |")
    print("|---" * (4 + len(names)) + "|")
    smallest = dict.fromkeys(names, float("inf"))
    for name, count in known:
        group = {"for": purpose, "data": name, "a_class": count}
        rows = results.rows(**group, candidate="head")
        probes = {row["case"]["seed"]: row["figures"]["probe"] for row in rows}
        if not probes:
            continue
        cells = [name, f"{count:,}", str(len(probes)), f"{100 * _mean(probes.values()):.1f}"]
        for candidate in names:
            rows = results.rows(**group, candidate=candidate)
            gains = [
                100 * (row["figures"]["accuracy"] - probes[row["case"]["seed"]]) for row in rows
            ]
            cells.append(_told(gains, len(probes)))
            if gains:
                smallest[candidate] = min(smallest[candidate], _mean(gains))
        print(f"| {' | '.join(cells)} |")
    print(f"| smallest | | | | {' | '.join(f'{gain:+.1f}' for gain in smallest.values())} |")


def _told(gains: list[float], expected: int) -> str:
    if not gains:
        return ""
    told = f"{_mean(gains):+.1f}"
    if len(gains) > 1:
        told += f" ± {statistics.stdev(gains) / len(gains) ** 0.5:.1f}"
    return told if len(gains) == expected else f"{told} ({len(gains)})"


def _mean(values: Iterable[float]) -> float:
    return statistics.mean(list(values))


if __name__ == "__main__":
    main()
