"""From facts about image files and counts of classes to findings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tftune.data.dataset import Dataset
from tftune.data.image_facts import ImageFacts
from tftune.results.audit import Example, Issue

_MOST_PRECIOUS = ("test", "validation", "train")
_DARK_BELOW = 40.0  # of 255: even the brightest hundredth of the picture is nearly black
_CONSTANT_BELOW = 16.0  # of 255, within each channel; leaves room for noise
_ASPECT_RATIO = 2.5  # longer side over shorter
_SIZE_FACTOR = 4.0  # side against the median side
_IMBALANCE = 10.0  # largest class over smallest
_TINY = 10  # training images of a class


def unreadable(examples: Sequence[Example], facts: Sequence[ImageFacts]) -> list[Issue]:
    """List files that do not decode."""
    return [
        _about(example, "unreadable", "error", fact.problem)
        for example, fact in zip(examples, facts, strict=True)
        if fact.problem
    ]


def copies(
    examples: Sequence[Example],
    facts: Sequence[ImageFacts],
    labels: Sequence[object],
    groups: Sequence[Sequence[int]],
) -> list[Issue]:
    """List copies: across splits, with different labels, exact and near ones within a split.

    Args:
        examples: all examples.
        facts: of each example's file.
        labels: one hashable value an example; None where copies may differ in it.
        groups: indices that show the same picture, from `groups_of_copies`.
    """
    issues = []
    for group in groups:
        members = [examples[index] for index in group]
        digests = [facts[index].digest for index in group]
        same = "identical" if len(set(digests)) == 1 else "nearly identical"
        if len({labels[index] for index in group}) > 1:
            severity = "error" if _disagree_on_equal_bytes(group, digests, labels) else "warning"
            names = ", ".join(sorted({m.class_name for m in members if m.class_name}))
            message = f"{len(group)} {same} images have different labels: {names}."
            issues.append(
                Issue("label_conflict", severity, message, tuple(members), tuple(members))
            )
        splits = [name for name in _MOST_PRECIOUS if any(m.split == name for m in members)]
        if len(splits) > 1:
            message = f"{len(group)} {same} images are in {' and '.join(splits)}."
            elsewhere = tuple(m for m in members if m.split != splits[0])
            issues.append(Issue("leakage", "error", message, tuple(members), elsewhere))
        for name in splits:
            issues += _within([e for e in zip(members, digests, strict=True) if e[0].split == name])
    return issues


def odd_images(examples: Sequence[Example], facts: Sequence[ImageFacts]) -> list[Issue]:
    """List constant, very dark, turned, oddly sized and oddly shaped images."""
    good = [(e, f) for e, f in zip(examples, facts, strict=True) if not f.problem]
    if not good:
        return []
    sizes = np.array([fact.size for _, fact in good], dtype=np.float64)
    sides = np.sqrt(sizes.prod(axis=1))
    usual_side = float(np.median(sides))
    usual_shape = float(np.median(np.log(sizes[:, 1] / sizes[:, 0])))
    issues = []
    for (example, fact), side in zip(good, sides, strict=True):
        name = example.short_name
        height, width = fact.size
        if fact.spread < _CONSTANT_BELOW:
            issues.append(_about(example, "constant_image", "warning", f"{name} is one colour."))
        elif fact.brightest < _DARK_BELOW:
            message = f"{name} is almost black: its brightest parts are at {fact.brightest:.0f}."
            issues.append(_about(example, "dark_image", "warning", message))
        if not 1 / _SIZE_FACTOR < side / usual_side < _SIZE_FACTOR:
            message = f"{name} is {width} x {height}; half of all are {usual_side:.0f} or more."
            issues.append(_about(example, "odd_size", "note", message))
        shape = np.log(width / height)
        limit = np.log(_ASPECT_RATIO)
        if abs(shape) > limit and abs(shape - usual_shape) > limit:
            message = f"{name} is {width} x {height}: resizing to the usual shape distorts it."
            issues.append(_about(example, "odd_aspect_ratio", "note", message))
        if fact.orientation != 1:
            message = f"{name} carries EXIF orientation {fact.orientation}."
            # Dropping all findings should not lose pictures that are right once turned.
            issues.append(Issue("exif_rotated", "note", message, (example,)))
    return issues


def class_sizes(data: Dataset, things: str = "images") -> list[Issue]:
    """List classes that are missing, tiny or far smaller than others.

    Args:
        data: the training split counts.
        things: what the examples are called.
    """
    target = data.train.targets[0]
    if target.task == "regression":
        return []
    issues = []
    counts = target.counts
    for name, count in zip(target.class_names, counts, strict=True):
        if count == 0:
            message = f"{name} has no {things} to train on."
            issues.append(Issue("missing_class", "error", message))
        elif count < _TINY:
            message = f"{name} has {count} {things} to train on."
            issues.append(Issue("tiny_class", "warning", message))
    present = np.flatnonzero(counts)
    if len(present):
        most, least = present[counts[present].argmax()], present[counts[present].argmin()]
        if counts[most] >= _IMBALANCE * counts[least]:
            message = (
                f"{target.class_names[most]} has {counts[most]} {things} to train on, "
                f"{target.class_names[least]} has {counts[least]}."
            )
            issues.append(Issue("class_imbalance", "warning", message))
    return issues


def _about(example: Example, kind: str, severity: str, message: str) -> Issue:
    return Issue(kind, severity, message, (example,), (example,))


def _within(members: Sequence[tuple[Example, str]]) -> list[Issue]:
    """List copies within one split; the first of each stays."""
    by_digest: dict[str, list[Example]] = {}
    for example, digest in members:
        by_digest.setdefault(digest, []).append(example)
    issues = []
    for equal in by_digest.values():
        if len(equal) > 1:
            message = f"{len(equal)} files hold the same bytes."
            issues.append(
                Issue("exact_duplicate", "warning", message, tuple(equal), tuple(equal[1:]))
            )
    if len(by_digest) > 1:
        message = f"{len(by_digest)} files show the same picture."
        first = tuple(equal[0] for equal in by_digest.values())
        rest = tuple(example for example, _ in members if example != first[0])
        issues.append(Issue("near_duplicate", "warning", message, first, rest))
    return issues


def _disagree_on_equal_bytes(
    group: Sequence[int], digests: Sequence[str], labels: Sequence[object]
) -> bool:
    label_of: dict[str, object] = {}
    return any(
        label_of.setdefault(digest, labels[index]) != labels[index]
        for index, digest in zip(group, digests, strict=True)
    )
