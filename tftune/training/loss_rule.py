"""Choosing a phase's losses from how the training labels are spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tftune.config.model_spec import HeadSpec
from tftune.data.dataset import Split
from tftune.data.imbalance import imbalance_ratio
from tftune.data.targets import Target
from tftune.errors import ConfigError, check_choice

IMBALANCE = ("auto", "none", "class_weights", "oversample", "focal")
_IMBALANCED = 10.0
_OUTLYING = 5.0
_FOCAL_GAMMA = 2.0
_SIGMAS = 1.4826  # of a normal distribution, in median absolute deviations


def choose_losses(
    heads: Sequence[HeadSpec], train: Split, imbalance: str = "auto"
) -> tuple[dict[str, Any], dict[str, str]]:
    """Choose how phases weigh classes and measure errors.

    Classes are weighed where the largest has more than ten times the examples of the smallest:
    below that, imbalance harms networks little (Buda et al. 2018). They are weighed by the square
    root of their inverse frequency. The inverse itself, which makes all classes count alike, costs
    accuracy on data as uneven as the training data; the square root had the best accuracy and a
    better macro F1 than no weights on texts and images (`python -m benchmarks class_weights`).
    Errors are measured by Huber's loss where a value lies more than five deviations from the
    median, robustly measured, which in a normal distribution one in two million does.

    Args:
        heads: the model's.
        train: the training split.
        imbalance: "auto" as above; or "none", "class_weights", "oversample" or "focal", whatever
            the labels.

    Returns:
        Settings for `Phase` and the reason for each choice, by name.

    Raises:
        ConfigError: if `imbalance` is none of these or does not fit the heads.

    References:
        Buda, Maki and Mazurowski 2018, https://arxiv.org/abs/1710.05381; Huber 1964,
        https://doi.org/10.1214/aoms/1177703732; Lin et al. 2017, https://arxiv.org/abs/1708.02002.
    """
    check_choice("imbalance", imbalance, IMBALANCE)
    settings: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    targets = {h.name: t for h, t in zip(heads, train.targets, strict=True)}
    of_classes = {n: t for n, t in targets.items() if t.task == "multiclass"}
    if imbalance == "auto":
        ratios = {name: imbalance_ratio(target) for name, target in of_classes.items()}
        uneven = [name for name, ratio in ratios.items() if ratio > _IMBALANCED]
        if uneven:
            settings["class_weights"] = _weights("square_root", uneven, heads)
            told = " and ".join(_ratio_told(targets[name], len(heads) > 1) for name in uneven)
            reasons["class weights"] = (
                f"the square root of balanced, since {told}; more than {_IMBALANCED:g} times "
                "harms rare classes (Buda et al. 2018), and full weights harm accuracy "
                '(benchmarks/class_weights.py). imbalance="none" leaves it'
            )
    elif imbalance != "none":
        settings, reason = _asked_for(imbalance, heads, of_classes)
        reasons["imbalance"] = reason
    outlying = [n for n, t in targets.items() if t.task == "regression" and _has_outliers(t)]
    if outlying:
        settings["regression_loss"] = "huber"
        reasons["regression loss"] = (
            f"Huber's, since values of {', '.join(map(repr, outlying))} lie more than "
            f"{_OUTLYING:g} deviations from the median and would outweigh all others squared"
        )
    return settings, reasons


def _asked_for(
    imbalance: str, heads: Sequence[HeadSpec], of_classes: dict[str, Target]
) -> tuple[dict[str, Any], str]:
    if all(head.task == "regression" for head in heads):
        raise ConfigError(
            f"`imbalance` is for classes. Received {imbalance!r} for a regression. Leave it out."
        )
    if imbalance == "focal":
        return {"focal_gamma": _FOCAL_GAMMA}, "focal loss, as asked"
    if imbalance == "class_weights":
        names = [head.name for head in heads if head.task != "regression"]
        return {
            "class_weights": _weights("balanced", names, heads)
        }, "balanced class weights, as asked"
    if len(heads) > 1 or not of_classes:
        raise ConfigError(
            "`imbalance='oversample'` repeats the examples of rare classes, so it needs one head "
            "with one class an example. Take 'class_weights'."
        )
    return {"oversample": True}, "rare classes are shown as often as the largest, as asked"


def _weights(how: str, names: Sequence[str], heads: Sequence[HeadSpec]) -> str | dict[str, str]:
    return how if len(heads) == 1 else dict.fromkeys(names, how)


def _ratio_told(target: Target, named: bool) -> str:
    counts = np.where(target.counts > 0, target.counts, target.counts.max() + 1)
    most, fewest = int(target.counts.argmax()), int(counts.argmin())
    names, of = target.class_names, f" of {target.name!r}" if named else ""
    return (
        f"{names[most]!r}{of} has {target.counts[most]} examples and {names[fewest]!r} "
        f"{target.counts[fewest]}"
    )


def _has_outliers(target: Target) -> bool:
    for column in target.labels.T:
        known = column[np.isfinite(column)].astype(np.float64)
        if not len(known):
            continue
        distance = np.abs(known - np.median(known))
        deviation = _SIGMAS * np.median(distance)
        # Where most values are equal nothing says how far is far.
        if deviation > 0 and (distance > _OUTLYING * deviation).any():
            return True
    return False
