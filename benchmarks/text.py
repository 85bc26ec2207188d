"""Texts: a converted MiniLM on real corpora against the floors, and what training costs.

    python -m benchmarks text accuracy [--corpora mails] [--sizes 2000] [--sides TF-IDF]
                                       [--length 128] [--minutes 3]
    python -m benchmarks text phase_one|epoch [--repeats 3]

Two corpora: package descriptions of Debian by section, and the mails of SpamAssassin (see
benchmarks/corpora.py), or `--data TABLE`. Up to 2,000 texts are held out; what trains is drawn from
the rest with seed 0, and a fifth as many texts as train, at least ten a class, validate. MiniLM is
benchmarks/minilm.py's, or `--encoder PAIR`, which `tftune convert-bert` wrote.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

import tftune
from benchmarks import corpora, minilm
from benchmarks.corpora import LENGTH, dataset
from benchmarks.results import OWN_TEXTS, Results, add_arguments, describe
from tftune.cache.store import ActivationStore
from tftune.data.dataset import Dataset
from tftune.data.pipeline import input_batches

SIZES = ((10, 0), (0, 2000))
"""Training texts a class, or in all."""
SIDES = ("TF-IDF", "ngrams", "MiniLM probe", "MiniLM two phases")


def _tfidf(data: Dataset) -> dict[str, float]:
    best = (-1.0, 0.0)
    for strength in (1.0, 10.0, 100.0):
        vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
        features = vectorizer.fit_transform(data.train.examples.columns[0])
        model = LogisticRegression(C=strength, max_iter=300).fit(features, data.train.labels)
        scores = [
            float(model.score(vectorizer.transform(split.examples.columns[0]), split.labels))
            for split in (data.validation, data.test)
        ]
        best = max(best, (scores[0], scores[1]))
    return {"test": best[1]}


def _trained(data: Dataset, encoder: str, phases: int, length: int) -> dict[str, Any]:
    model = tftune.build_text_classifier(
        encoder, data, sequence_length=None if encoder == "ngrams" else length
    )
    options = {} if phases == 2 else {"fine_tune_epochs": 0}
    plan = tftune.plan(model, data, estimate=False, **options)
    run = _run(model, data, plan)
    accuracy = tftune.evaluate(model, data.test).accuracy
    return {"test": accuracy, "verdict": run.verdict.sentence}


def accuracy(arguments: argparse.Namespace) -> None:
    """Measure every side on every corpus."""
    results = Results("text_accuracy", arguments.minutes, arguments.fresh, arguments.data)
    cases = [
        {"corpus": corpus, "a class": a_class, "in all": count, "side": side}
        for corpus in arguments.corpora or corpora.names(arguments.data)
        for a_class, count in SIZES
        for side in arguments.sides
        if max(a_class, count) in arguments.sizes
    ]
    for case in cases:
        if case["side"].startswith("MiniLM"):
            case["tokens"] = arguments.length
    loaded: dict[str, tuple[list[str], list[str]]] = {}
    for case in results.todo(cases):
        corpus = case["corpus"]
        if corpus not in loaded:
            loaded[corpus] = corpora.load(corpus, arguments.data)
            print(f"{corpus}: {len(loaded[corpus][0])} texts")
        data = dataset(*loaded[corpus], case["a class"], case["in all"])
        side, length = case["side"], arguments.length
        started = time.perf_counter()
        if side == "TF-IDF":
            figures = _tfidf(data)
        elif side == "ngrams":
            figures = _trained(data, "ngrams", 2, length)
        else:
            phases = 2 if "two" in side else 1
            encoder = arguments.encoder or minilm.pair()
            figures = _trained(data, str(encoder), phases, length)
        results.add(case, {**figures, "seconds": time.perf_counter() - started})
    for case in cases:
        for row in results.rows(**case):
            size = f"{case['a class']} a class" if case["a class"] else f"{case['in all']} in all"
            print(
                f"{case['corpus']:<13} {size:<12} {case['side']:<18} {row['figures']['test']:.3f}"
            )
            if "verdict" in row["figures"]:
                print(f"    {row['figures']['verdict']}")
    print(describe())


def phase_one(arguments: argparse.Namespace) -> None:
    """Measure phase one against bare passes: of our network, and of the pair as TF-Hub shows it.

    Both bare sides take texts in their own order; the pair pads each to its preprocessor's length.
    Sides take turns and the shortest time of each counts, so that other programs disturb little.
    """
    data = dataset(*corpora.load("descriptions", arguments.data), 0, arguments.texts)
    encoder = arguments.encoder or minilm.pair()
    model = tftune.build_text_classifier(encoder, data, sequence_length=LENGTH)
    trunk, _ = model.cut("pooled")
    few = Dataset(data.train, data.validation.take(range(32)), data.test)
    parts = [tf.saved_model.load(encoder / part) for part in ("preprocessor", "encoder")]
    sides = {"our network": trunk.forward, "the pair": tf.function(lambda x: parts[1](parts[0](x)))}
    seconds: dict[str, list[float]] = {side: [] for side in ("phase one", *sides)}
    for _ in range(arguments.repeats):
        for side, forward in sides.items():
            started = time.perf_counter()
            for batch in input_batches(data.train.examples, model.contract, 32):
                forward(batch)
            seconds[side].append(time.perf_counter() - started)
        plan = tftune.plan(model, few, fine_tune_epochs=0, estimate=False)
        timings = _run(model, few, plan).timings
        seconds["phase one"].append(sum(timings[name] for name in timings if "extraction" in name))
        print(", ".join(f"{name} {value:.1f} s" for name, value in timings.items()), flush=True)
    least = {side: min(values) for side, values in seconds.items()}
    print(
        f"phase one over {len(data.train)} texts {least['phase one']:.1f} s; one bare pass of ",
        end="",
    )
    told = (f"{side} {least[side]:.1f} s: {least['phase one'] / least[side]:.2f}" for side in sides)
    print(" and of ".join(told))
    print(describe())


def epoch(arguments: argparse.Namespace) -> None:
    """Measure an epoch of the top two layers from the cache against two others.

    "online" is tftune without its cache, "plain" what Keras' own `fit` does with the same layers
    frozen: strings shuffled into batches, the whole network run on each. Sides take turns and the
    shortest time of each counts.
    """
    data = dataset(*corpora.load("descriptions", arguments.data), 0, arguments.texts)
    encoder = arguments.encoder or minilm.pair()
    model = tftune.build_text_classifier(encoder, data, sequence_length=LENGTH)
    whole = Dataset(data.train, data.validation.take(range(32)), data.test)
    epochs: dict[str, list[tuple[float, float]]] = {"the cache": [], "online": [], "plain": []}
    for side in [*epochs] * arguments.repeats:
        epochs[side].append(
            _plain_epoch(model, whole) if side == "plain" else _epoch(model, whole, side)
        )
    for place, kind in enumerate(("clock", "cores' time")):
        cached, online, plain = (min(row[place] for row in rows) for rows in epochs.values())
        print(f"an epoch of the top two layers over {len(whole.train)} texts, {kind}: ", end="")
        print(
            f"{cached:.1f} s from the cache, {online:.1f} s online, {plain:.1f} s plainly; ", end=""
        )
        print(f"{cached / online:.2f} and {cached / plain:.2f}")
    print(describe())


def _epoch(model: tftune.TransferModel, data: Dataset, side: str) -> tuple[float, float]:
    settings: dict[str, Any] = {"cache": "off" if side == "online" else "disk", "estimate": False}
    settings |= {"contrastive": False, "head_epochs": 0, "fine_tune_epochs": 2, "unfreeze": 2}
    watch = _Watch()
    _run(model, data, tftune.plan(model, data, **settings), callbacks=lambda: [watch])
    return watch.epochs[-1]  # the first one traces


def _plain_epoch(model: tftune.TransferModel, data: Dataset) -> tuple[float, float]:
    model.set_trainable(2)
    network = keras.Model(model.logits_model.input, model.logits_model.output)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.AdamW(3e-4), loss, metrics=["accuracy"])
    sides = [
        tf.data.Dataset.from_tensor_slices((list(split.examples.columns[0]), split.labels))
        for split in (data.train, data.validation)
    ]
    train = sides[0].shuffle(len(data.train)).batch(32).prefetch(2)
    watch = _Watch()
    network.fit(train, epochs=2, validation_data=sides[1].batch(32), verbose=0, callbacks=[watch])
    return watch.epochs[-1]


def _run(
    model: tftune.TransferModel, data: Dataset, plan: tftune.Plan, **settings: Any
) -> tftune.TrainingRun:
    with tempfile.TemporaryDirectory() as folder:
        store = ActivationStore(Path(folder))
        settings = {"verbose": False, "store": store, "from_scratch": False, **settings}
        return tftune.fine_tune(model, data, plan, **settings)


class _Watch(keras.callbacks.Callback):
    """Times epochs, without validation, by the clock and by how long cores were busy."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[tuple[float, float]] = []

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._begun = time.perf_counter(), time.process_time()

    def on_test_begin(self, logs: dict | None = None) -> None:
        clock, cores = self._begun
        self.epochs.append((time.perf_counter() - clock, time.process_time() - cores))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = {"accuracy": accuracy, "phase_one": phase_one, "epoch": epoch}
    parser.add_argument("part", choices=tuple(parts))
    parser.add_argument("--encoder", type=Path, help="a pair, instead of MiniLM's")
    parser.add_argument("--corpora", nargs="+", choices=corpora.NAMES, help="both by default")
    parser.add_argument("--sizes", nargs="+", type=int, default=[10, 2000])
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    parser.add_argument("--length", type=int, default=LENGTH, help="tokens a text")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--texts", type=int, default=2000, help="that train, to measure speed on")
    add_arguments(parser, OWN_TEXTS)
    arguments = parser.parse_args()
    parts[arguments.part](arguments)


if __name__ == "__main__":
    main()
