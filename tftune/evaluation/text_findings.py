"""What is wrong with texts: copies, leakage, labels that contradict, odd lengths, mixed scripts."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from tftune.data.dataset import Dataset
from tftune.data.text_examples import Texts
from tftune.results.audit import Example, Issue

_LONG_FACTOR = 20.0  # characters against the median
_LONG_AT_LEAST = 2000
_SHARE_OF_MAIN_SCRIPT = 0.5  # below which one speaks of a mixture in a text of another script
_LETTERS_READ = 400
_MOST_PRECIOUS = ("test", "validation", "train")


def text_issues(data: Dataset, examples: Sequence[Example]) -> list[Issue]:
    """Find what is wrong with the texts of a dataset.

    Two texts are copies if they are equal, and near copies if they are equal but for case, white
    space and punctuation.

    Args:
        data: holds texts.
        examples: all of its examples, split by split.
    """
    texts: list[str] = []
    digests: list[str] = []
    labels: list[bytes | None] = []
    for split in data.splits.values():
        assert isinstance(split.examples, Texts)
        texts += [" \n ".join(row) for row in zip(*split.examples.columns, strict=True)]
        digests += split.examples.fingerprints
        known = split.task in ("multiclass", "multilabel")
        labels += [np.asarray(row).tobytes() if known else None for row in split.labels]
    groups = defaultdict(list)
    for index, text in enumerate(texts):
        groups[_core(text) or text].append(index)
    issues = []
    for group in groups.values():
        if len(group) > 1:
            issues += _copies(group, examples, digests, labels)
    return issues + _lengths(texts, examples) + _scripts(texts, examples)


def _copies(
    group: Sequence[int],
    examples: Sequence[Example],
    digests: Sequence[str],
    labels: Sequence[bytes | None],
) -> list[Issue]:
    members = tuple(examples[index] for index in group)
    equal = len({digests[index] for index in group}) == 1
    same = "identical" if equal else "nearly identical"
    issues = []
    if len({labels[index] for index in group}) > 1:
        names = ", ".join(sorted({m.class_name for m in members if m.class_name}))
        message = f"{len(group)} {same} texts have different labels: {names}."
        severity = "error" if equal else "warning"
        issues.append(Issue("label_conflict", severity, message, members, members))
    splits = [name for name in _MOST_PRECIOUS if any(m.split == name for m in members)]
    if len(splits) > 1:
        message = f"{len(group)} {same} texts are in {' and '.join(splits)}."
        elsewhere = tuple(m for m in members if m.split != splits[0])
        issues.append(Issue("leakage", "error", message, members, elsewhere))
    kind = "exact_duplicate" if equal else "near_duplicate"
    for name in splits:
        within = tuple(member for member in members if member.split == name)
        if len(within) > 1:
            message = f"{len(within)} texts are {same}."
            issues.append(Issue(kind, "warning", message, within, within[1:]))
    return issues


def _lengths(texts: Sequence[str], examples: Sequence[Example]) -> list[Issue]:
    lengths = np.array([len(text) for text in texts])
    usual = float(np.median(lengths)) if len(lengths) else 0.0
    limit = max(_LONG_AT_LEAST, _LONG_FACTOR * usual)
    issues = []
    for index in np.flatnonzero(lengths > limit).tolist():
        example = examples[index]
        message = (
            f"{example.short_name} has {lengths[index]:,} characters, half of all texts have "
            f"{usual:,.0f} or fewer; only its beginning is read."
        )
        issues.append(Issue("odd_size", "note", message, (example,)))
    return issues


def _scripts(texts: Sequence[str], examples: Sequence[Example]) -> list[Issue]:
    """List texts in another script than most: a cheap sign of another language."""
    found = [_script(text) for text in texts]
    known = [script for script in found if script]
    if not known:
        return []
    names, counts = np.unique(known, return_counts=True)
    main = names[counts.argmax()]
    if counts.max() / len(known) < _SHARE_OF_MAIN_SCRIPT:
        return []
    return [
        Issue(
            "mixed_scripts",
            "note",
            f"{example.short_name} is written in {script.title()} letters, most are in "
            f"{str(main).title()}.",
            (example,),
        )
        for example, script in zip(examples, found, strict=True)
        if script and script != main
    ]


def _script(text: str) -> str:
    """Return the script of most letters, as Unicode's names begin with it; "" without letters."""
    counts: dict[str, int] = defaultdict(int)
    for letter in text[:_LETTERS_READ]:
        if letter.isalpha():
            counts[unicodedata.name(letter, "").partition(" ")[0]] += 1
    # Japanese and Korean mix their own letters with Chinese characters.
    return max(counts, key=counts.__getitem__) if counts else ""


def _core(text: str) -> str:
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))
