"""Saying what is wrong with a dataset before an hour of training is spent."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from tftune.builders.image_classifier import build_image_classifier
from tftune.builders.presets import DEFAULT_PRESET
from tftune.builders.transfer_model import Trunk
from tftune.cache.store import ActivationStore
from tftune.cache.trunk_pass import boundary_activations
from tftune.data.dataset import Dataset, Split
from tftune.data.duplicates import groups_of_copies
from tftune.data.image_facts import ImageFacts, read_facts
from tftune.data.image_files import ImageFiles, check_images
from tftune.data.image_folder import load_image_folder
from tftune.data.text_examples import Texts
from tftune.errors import DataError
from tftune.evaluation.image_findings import class_sizes, copies, odd_images, unreadable
from tftune.evaluation.label_errors import (
    LEAST_A_CLASS,
    checkable,
    find_label_errors,
    find_outliers,
    reduced,
)
from tftune.evaluation.text_findings import text_issues
from tftune.progress import Progress
from tftune.results.audit import KINDS, AuditReport, Example, Issue
from tftune.results.audit_html import shown_examples
from tftune.results.thumbnails import thumbnail_of_pixels

_LEAST_FOR_FEATURES = 50  # images; on fewer, nothing can be said about what is usual


def audit(
    data: Dataset | str | os.PathLike[str],
    *,
    features: bool = True,
    image_size: tuple[int, int] | None = None,
    weights: str | os.PathLike[str] | None = "imagenet",
    seed: int = 0,
    store: ActivationStore | None = None,
    verbose: bool = True,
) -> AuditReport:
    """Look for what would spoil training, or the figures measured after it.

    Every file is read once for its bytes, size and a thumbnail: unreadable files, exact and near
    copies, copies across splits, equal images with different labels, constant, dark, turned and
    oddly shaped images. Then the default backbone's features find outliers and likely label errors;
    they stay in the cache, where training the same backbone finds them. Of texts, copies, leakage,
    contradicting labels, very long ones and other scripts are found.

    Args:
        data: a Dataset, or a folder of class folders; a folder may hold damaged files.
        features: False leaves out outliers and label errors, which need the backbone.
        image_size: (height, width) the backbone sees; its own by default.
        weights: of the backbone, as for `build_image_classifier`.
        seed: chooses the splits of a folder, and the folds of the label check.
        store: where features are cached.
        verbose: show progress on standard error.

    Returns:
        The findings; `data.drop(report.issues)` acts on them.

    Raises:
        DataError: if the folder cannot be used at all, or nothing of it can be read.
    """
    left_out = "note"  # by a caller who asked for it
    if isinstance(data, (str, os.PathLike)):
        data = load_image_folder(data, seed=seed, check_files=False, on_bad="skip")
        left_out = "error"
    examples = _examples_of(data)
    notes = [note for note in data.notes if "listed below" not in note]
    if isinstance(data.train.examples, Texts):
        issues = [Issue("unreadable", left_out, sentence) for sentence in data.skipped]
        issues += text_issues(data, examples) + class_sizes(data, "texts")
        return AuditReport(
            data.source, len(examples), _sorted(issues), tuple(notes), things="texts"
        )
    with Progress(verbose) as progress:
        facts: list[ImageFacts] = []
        for name, split in data.splits.items():
            facts += read_facts(split.examples, progress.step(f"read {name}"))
        trunk_input = None
        if features:
            model = build_image_classifier(
                DEFAULT_PRESET, class_names=("a", "b"), image_size=image_size, weights=weights
            )
            trunk, _ = model.cut(model.spec.pooled_layer)
            trunk_input = _features_of(data, examples, facts, trunk, store, progress)
    issues = [Issue("unreadable", left_out, sentence) for sentence in data.skipped]
    issues += unreadable(examples, facts)
    groups = groups_of_copies(facts)
    issues += copies(examples, facts, _labels_of(data), groups)
    issues += odd_images(examples, facts)
    issues += class_sizes(data)
    if trunk_input is not None:
        found, said = _feature_findings(data, examples, facts, trunk_input, groups, seed)
        issues += found
        notes += said
    pictures = _pictures_of(data, _sorted(issues))
    return AuditReport(data.source, len(examples), _sorted(issues), tuple(notes), pictures)


def _sorted(issues: Sequence[Issue]) -> tuple[Issue, ...]:
    """Return the worst kinds first."""
    order = {kind: place for place, kind in enumerate(KINDS)}
    return tuple(sorted(issues, key=lambda issue: order[issue.kind]))


def _examples_of(data: Dataset) -> list[Example]:
    examples = []
    for name, split in data.splits.items():
        classes = _class_names_of(split)
        examples += [
            Example(name, index, called, classes[index])
            for index, called in enumerate(split.examples.names)
        ]
    return examples


def _pictures_of(data: Dataset, issues: Sequence[Issue]) -> dict[str, bytes]:
    """Return thumbnails of what a page will show of data that is no files."""
    return {
        example.path: thumbnail_of_pixels(data.splits[example.split].examples.pixels(example.index))
        for example in shown_examples(issues)
        if not isinstance(data.splits[example.split].examples, ImageFiles)
    }


def _class_names_of(split: Split) -> list[str]:
    if split.task == "multiclass":
        return [split.class_names[label] for label in split.labels]
    if split.task == "multilabel":
        names = np.array(split.class_names, dtype=object)
        return [" + ".join(names[row > 0]) for row in split.labels]
    return [""] * len(split)


def _labels_of(data: Dataset) -> list[Any]:
    labels: list[Any] = []
    for split in data.splits.values():
        # Measured quantities may differ a little on copies; classes may not.
        known = split.task in ("multiclass", "multilabel")
        labels += [np.asarray(row).tobytes() if known else None for row in split.labels]
    return labels


def _features_of(
    data: Dataset,
    examples: Sequence[Example],
    facts: list[ImageFacts],
    trunk: Trunk,
    store: ActivationStore | None,
    progress: Progress,
) -> np.ndarray:
    """Run the trunk over every readable file; what it cannot decode is marked in `facts`.

    Returns:
        float32, shape (number of readable files, num_features), in the examples' order.
    """
    parts = []
    start = 0
    # Split by split, since that is how training looks features up in the cache.
    for name, split in data.splits.items():
        here = range(start, start + len(split))
        start += len(split)
        source = split.examples
        for is_last in (False, True):
            good = [index for index in here if not facts[index].problem]
            if not good:
                break
            readable = source.take(np.array(good) - here.start)
            step = progress.step(f"features {name}")
            try:
                found = boundary_activations(trunk, readable, store=store, on_progress=step)
                parts.append(np.asarray(found))
                break
            except (DataError, tf.errors.OpError):
                if is_last or not isinstance(source, ImageFiles):
                    raise
                # A first look does not tell who decodes a damaged file; a full check does.
                checked = check_images(source.paths)
                source = replace(source, known_decoders=tuple(c.decoder for c in checked))
                for index, check in zip(here, checked, strict=True):
                    if check.problem and not facts[index].problem:
                        facts[index] = replace(facts[index], problem=check.problem)
    return np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)


def _feature_findings(
    data: Dataset,
    examples: Sequence[Example],
    facts: Sequence[ImageFacts],
    features: np.ndarray,
    groups: Sequence[Sequence[int]],
    seed: int,
) -> tuple[list[Issue], list[str]]:
    good = np.array([index for index, fact in enumerate(facts) if not fact.problem])
    if len(good) < _LEAST_FOR_FEATURES:
        least = _LEAST_FOR_FEATURES
        return [], [f"Outliers and labels were not checked: that takes {least} images."]
    group_of = np.arange(len(examples))
    for group in groups:
        group_of[group] = group[0]
    issues = []
    for place in find_outliers(features, group_of[good]):
        example = examples[good[place]]
        message = f"{example.short_name} is unlike all other images."
        issues.append(Issue("outlier", "note", message, (example,), (example,)))
    if data.train.task != "multiclass":
        return issues, [f"Labels of a {data.train.task} target are not checked for errors."]
    labels = np.concatenate([split.labels for split in data.splits.values()])[good]
    found = find_label_errors(reduced(features, seed), labels, group_of[good], seed)
    for place in found.flagged:
        example = examples[good[place]]
        predicted = data.class_names[found.predicted[place]]
        message = (
            f"{example.short_name} is labelled {example.class_name} but looks like {predicted} "
            f"(chance that the label is wrong: {found.probabilities[place]:.2f})."
        )
        issues.append(Issue("label_error", "warning", message, (example,), (example,)))
    checked, _ = checkable(labels, group_of[good])
    said = [f"Estimated number of wrong labels: {found.estimated_number:.0f} of {len(checked)}."]
    if len(checked) < len(good):
        said.append(f"Labels of classes with fewer than {LEAST_A_CLASS} images were not checked.")
    return issues, said
