"""Real texts by name, or the reader's own, and how they are divided."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import platformdirs

from benchmarks import own_data, spam_assassin
from tftune.atomic import write_json
from tftune.data.dataset import Dataset, Split
from tftune.data.text_examples import Texts

NAMES = ("descriptions", "mails")
HELD_OUT = 2000
LENGTH = 64
"""Tokens a text, as in the figures this is compared with."""
SECTIONS = (
    "games science net sound video web fonts editors math graphics electronics admin database mail "
    "education hamradio"
).split()


def load(name: str, table: Path | None = None) -> tuple[list[str], list[str]]:
    """Return texts and labels in an order that never changes.

    Args:
        name: "descriptions" or "mails"; a table goes before.
        table: the reader's own, with the columns `text` and `label`.
    """
    if table:
        return own_data.texts(table)
    return descriptions() if name == "descriptions" else _shuffled(spam_assassin.load())


def names(table: Path | None = None) -> tuple[str, ...]:
    """Return the corpora there are: the reader's own alone, or all known ones."""
    return (table.stem,) if table else NAMES


def num_held_out(texts: list[str]) -> int:
    """Return how many texts, the first ones, only test; less than 2,000 of a small table."""
    return min(HELD_OUT, len(texts) // 4)


def descriptions() -> tuple[list[str], list[str]]:
    """Return descriptions of Debian packages, and the last parts of their sections.

    They are kept when first read, since the index of packages (`apt-cache dumpavail` after
    `apt-get update`) changes as Debian does.
    """
    kept = Path(platformdirs.user_cache_dir("tftune-benchmarks"), "descriptions.json")
    if not kept.is_file():
        write_json(kept, _shuffled(_of_packages()))
    texts, sections = json.loads(kept.read_text(encoding="utf-8"))
    return texts, sections


def _of_packages() -> list[tuple[str, str]]:
    shown = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, check=True).stdout
    pairs = set()
    for entry in shown.decode("utf-8", "replace").split("\n\n"):
        section = re.search(r"^Section: (.+)$", entry, re.M)
        text = re.search(r"^Description(?:-en)?: (.+(?:\n .*)*)", entry, re.M)
        if section and text:
            name = section.group(1).strip().rpartition("/")[2]
            if name in SECTIONS:
                pairs.add((" ".join(text.group(1).split()), name))
    return sorted(pairs)


def _shuffled(pairs: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    order = np.random.default_rng(0).permutation(len(pairs))
    return [pairs[i][0] for i in order], [pairs[i][1] for i in order]


def dataset(
    texts: list[str],
    labels: list[str],
    a_class: int = 0,
    count: int = 0,
    held_out: int | None = None,
) -> Dataset:
    """Hold texts out and draw what trains and validates: so many a class, or in all."""
    held_out = num_held_out(texts) if held_out is None else held_out
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
