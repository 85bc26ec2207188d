"""The table that the default weights of rare classes were chosen from: none, softened, balanced.

    python -m benchmarks class_weights [--of digits]

Texts and encoder are those of `benchmarks.text`, whose held-out texts are never read here. A
probe is fitted to pixels of digits and to MiniLM's vectors of texts. Digits and mails are made
uneven by leaving examples out, so that the largest class has so many times the smallest's; the
descriptions of packages are uneven by themselves. Training, validation and test are drawn alike.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import log_softmax
from sklearn.datasets import load_digits
from sklearn.metrics import f1_score

import tftune
from benchmarks import corpora, minilm
from benchmarks.corpora import LENGTH
from benchmarks.results import OWN_TEXTS, Results, add_arguments, describe
from tftune.cache.trunk_pass import boundary_activations
from tftune.config.phase import Phase
from tftune.data.targets import Target
from tftune.data.text_examples import Texts
from tftune.training.objective import class_weights
from tftune.training.probe import fit_probe

SEEDS = range(11, 17)
RATIOS = {"digits": (10, 30, 100), "mails": (20, 60), "descriptions": (0,)}
WEIGHTS = (None, "square_root", "balanced")
FEWEST = 4
DESCRIPTIONS = 4000
"""Texts a draw, of which half train."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--of", nargs="+", choices=list(RATIOS), default=list(RATIOS))
    add_arguments(parser, OWN_TEXTS)
    arguments = parser.parse_args()
    results = Results("class_weights", arguments.minutes, arguments.fresh, arguments.data)
    known_ratios = {arguments.data.stem: (0,)} if arguments.data else RATIOS
    cases = [
        {"data": data, "ratio": ratio, "seed": seed}
        for data, ratios in known_ratios.items()
        if arguments.data or data in arguments.of
        for ratio in ratios
        for seed in SEEDS
    ]
    known: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for case in results.todo(cases):
        data = case["data"]
        if data not in known:
            known[data] = _features(data, arguments.data)
        results.add(case, _measure(*known[data], case["ratio"], case["seed"]))
    print("data          ratio  " + "".join(f"{weights or 'none':<28}" for weights in WEIGHTS))
    print(" " * 21 + "accuracy macro F1  loss       " * len(WEIGHTS))
    for data, ratios in known_ratios.items():
        for ratio in ratios:
            rows = [row["figures"] for row in results.rows(data=data, ratio=ratio)]
            if rows:
                told = [statistics.mean(row[name] for row in rows) for name in rows[0]]
                print(f"{data:<13} {ratio or 'own':>5}  ", end="")
                for accuracy, f1, loss in zip(told[::3], told[1::3], told[2::3], strict=True):
                    print(f"{accuracy:<8.3f} {f1:<9.3f}{loss:<11.3f}", end="")
                print()
    print(describe())


def _features(data: str, table: Path | None) -> tuple[np.ndarray, np.ndarray]:
    if data == "digits":
        pixels, labels = load_digits(return_X_y=True)
        return pixels / 16, labels
    texts, sections = corpora.load(data, table)
    first = corpora.num_held_out(texts)
    names, labels = np.unique(sections[first:], return_inverse=True)
    examples = Texts.of(texts[first:], [f"text {i}" for i in range(len(labels))])
    model = tftune.build_text_classifier(
        minilm.pair(), class_names=names.tolist(), sequence_length=LENGTH
    )
    return np.asarray(boundary_activations(model.cut("pooled")[0], examples)[:]), labels


def _measure(features: np.ndarray, labels: np.ndarray, ratio: int, seed: int) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    num_classes = int(labels.max()) + 1
    chosen = generator.permutation(len(labels))
    if ratio:
        kept = []
        for rank, label in enumerate(generator.permutation(num_classes)):
            own = chosen[labels[chosen] == label]
            share = ratio ** (-rank / (num_classes - 1))
            kept.append(own[: max(FEWEST, int(len(own) * share))])
        chosen = generator.permutation(np.concatenate(kept))
    chosen = chosen[:DESCRIPTIONS]
    train, validation, test = np.split(chosen, [len(chosen) // 2, len(chosen) * 2 // 3])
    target = Target("label", "multiclass", tuple(map(str, range(num_classes))), labels[train])
    figures = {}
    for weights in WEIGHTS:
        phase = Phase("feature_extraction", "none", 1, 1e-3, class_weights=weights)
        probe = fit_probe(
            features[train],
            labels[train],
            features[validation],
            labels[validation],
            num_classes,
            class_weights(phase, target),
        )
        logits = probe.logits(features[test])
        answers, right = logits.argmax(axis=1), labels[test]
        present = np.unique(right)
        likelihoods = log_softmax(logits, axis=1)[np.arange(len(test)), right]
        figures |= {
            f"{weights} accuracy": float((answers == right).mean()),
            f"{weights} macro F1": float(f1_score(right, answers, labels=present, average="macro")),
            f"{weights} loss": float(-likelihoods.mean()),
        }
    return figures


if __name__ == "__main__":
    main()
