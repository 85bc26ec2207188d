"""The table that the second phase for texts was chosen from: rates, layers, SetFit's phase.

    python -m benchmarks text_defaults                              print what was measured
    python -m benchmarks text_defaults --measure [--data TABLE]

Texts and encoder are those of `benchmarks.text`. Its 2,000 held-out texts are never read here: for
each seed other texts are drawn to train on (so many a class, or in all), a fifth as many to
validate (at least ten a class), and 1,000 to test on. Every candidate starts from the same head.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tftune
from benchmarks import corpora, minilm
from benchmarks.corpora import LENGTH, dataset
from benchmarks.results import OWN_TEXTS, Results, add_arguments, describe
from tftune.cache.store import ActivationStore
from tftune.cache.trunk_pass import boundary_activations
from tftune.training.boundary import CutModel

SIZES = ((10, 0), (0, 500), (0, 2000))
"""Training texts a class, or in all."""
DEFAULT = "the default"
_LAYERS = {
    f"{layers} layers, rate {rate:g}": {"unfreeze": layers, "learning_rate": rate}
    for layers in (1, 2, 3, 4)
    for rate in (1e-4, 3e-4)
}
_TWO = _LAYERS["2 layers, rate 0.0003"]
_CONTRASTIVE = {"name": "contrastive", "learning_rate": 1e-4}
CANDIDATES: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    **_LAYERS,
    "2 layers, layer decay 0.7": {**_TWO, "layer_decay": 0.7},
    "2 layers, L2-SP 0.1": {**_TWO, "l2_sp": 0.1},
    "2 layers, 8 epochs": {**_TWO, "epochs": 8},
    "contrastive": _CONTRASTIVE,
    "contrastive, rate 0.0003": {**_CONTRASTIVE, "learning_rate": 3e-4},
    "contrastive, 4 layers": {**_CONTRASTIVE, "unfreeze": 4},
}
"""What each candidate changes of the default second phase."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--encoder", type=Path, help="a pair, instead of MiniLM's")
    parser.add_argument("--sizes", nargs="+", type=int, default=[10, 500, 2000])
    parser.add_argument("--candidates", nargs="+", default=list(CANDIDATES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    add_arguments(parser, OWN_TEXTS)
    arguments = parser.parse_args()
    results = Results("text_defaults", arguments.minutes, arguments.fresh, arguments.data)
    if arguments.measure:
        measure(arguments, results)
    show(results, corpora.names(arguments.data))
    print(describe())


def measure(arguments: argparse.Namespace, results: Results) -> None:
    for seed in arguments.seeds:
        for corpus in corpora.names(arguments.data):
            for size in SIZES:
                if max(size) not in arguments.sizes:
                    continue
                group = {"corpus": corpus, "a class": size[0], "in all": size[1], "seed": seed}
                names = ["head", *arguments.candidates]
                start = None
                for case in results.todo([{**group, "candidate": name} for name in names]):
                    start = start or Start(group, arguments)
                    results.add(case, start.measure(case["candidate"]))
                if not results.in_time:
                    return


class Start:
    """A model with a trained head, from which each candidate begins."""

    def __init__(self, group: dict[str, Any], arguments: argparse.Namespace) -> None:
        known = corpora.load(group["corpus"], arguments.data)
        pool = [column[corpora.num_held_out(known[0]) :] for column in known]
        order = np.random.default_rng(group["seed"]).permutation(len(pool[0]))
        drawn = [[column[place] for place in order] for column in pool]
        self.data = dataset(
            *drawn, group["a class"], group["in all"], held_out=min(1000, len(pool[0]) // 4)
        )
        self.model = tftune.build_text_classifier(
            arguments.encoder or minilm.pair(), self.data, sequence_length=LENGTH
        )
        self.cache = tempfile.TemporaryDirectory()
        self.store = ActivationStore(self.cache.name)
        self.plan = tftune.plan(
            self.model,
            self.data,
            estimate=False,
            seed=group["seed"],
            contrastive=False,
        )
        self.train(self.plan.phases[0])
        self.accuracy = self.test_accuracy("none")
        self.weights = self.model.keras_model.get_weights()

    def train(self, phase: tftune.Phase) -> tftune.TrainingRun:
        plan = self.plan.replace(phases=(phase,), stages=())
        return tftune.fine_tune(
            self.model, self.data, plan, verbose=False, store=self.store, from_scratch=False
        )

    def measure(self, candidate: str) -> dict[str, Any]:
        if candidate == "head":
            return {"accuracy": self.accuracy}
        started = time.perf_counter()
        self.model.keras_model.set_weights(self.weights)
        phase = self.plan.phases[1].replace(**CANDIDATES[candidate])
        run = self.train(phase)
        seconds = time.perf_counter() - started
        loss = next(iter(run.validation.values())).metrics["loss"]
        accuracy = self.test_accuracy(phase.unfreeze)
        return {"accuracy": accuracy, "val_loss": loss, "seconds": seconds}

    def test_accuracy(self, unfreeze: tftune.Unfreeze) -> float:
        boundary = self.model.boundary_below(unfreeze)
        trunk, top = self.model.cut(boundary)
        rows = boundary_activations(trunk, self.data.test.examples, store=self.store)
        logits = CutModel(self.model, top, boundary, {"test": rows}).logits(self.data.test)
        return float((logits.argmax(axis=1) == self.data.test.labels).mean())


def show(results: Results, names: Sequence[str]) -> None:
    """Print means over seeds, and the difference to the head alone with its standard error."""
    print(f"{'corpus':<13} {'training':<12} {'seeds':>5}  {'':<25} {'':>6} difference")
    for corpus in names:
        for a_class, count in SIZES:
            group = {"corpus": corpus, "a class": a_class, "in all": count}
            heads = {
                row["case"]["seed"]: row["figures"]["accuracy"]
                for row in results.rows(**group, candidate="head")
            }
            for candidate in ("head", *CANDIDATES):
                rows = results.rows(**group, candidate=candidate)
                if not rows:
                    continue
                values = [100 * row["figures"]["accuracy"] for row in rows]
                gains = [
                    value - 100 * heads[row["case"]["seed"]]
                    for row, value in zip(rows, values, strict=True)
                ]
                error = statistics.stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else 0.0
                size = f"{a_class} a class" if a_class else f"{count} in all"
                print(
                    f"{corpus:<13} {size:<12} {len(rows):>5}  {candidate:<25} "
                    f"{statistics.mean(values):6.1f} {statistics.mean(gains):+.2f} ({error:.2f})"
                )


if __name__ == "__main__":
    main()
