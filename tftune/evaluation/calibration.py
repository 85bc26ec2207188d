"""Reliability of probabilities, and the temperature that corrects it."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import log_expit, log_softmax

from tftune.builders.heads import by_head
from tftune.builders.transfer_model import TransferModel
from tftune.config.model_spec import TAGS
from tftune.data.dataset import Split
from tftune.errors import DataError
from tftune.evaluation.evaluate import Progress, check_classes, logits_of_split
from tftune.evaluation.reliability import confidences_of, measure_calibration
from tftune.evaluation.temperature import fit_temperature
from tftune.results.calibration import TemperatureFit

_FOLDS = 5
_FEWEST = 30  # below, chance decides what seems to help


def calibrate(
    model: TransferModel,
    split: Split,
    batch_size: int = 32,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> tuple[TemperatureFit, ...]:
    """Set the temperature of every head so that its probabilities mean what they say.

    Temperature never changes which class is the most probable one. It is part of the model's graph,
    so every export made afterwards is calibrated too.

    Args:
        model: changed in place.
        split: examples it was not trained on, such as `data.validation`; not those on which
            figures are reported.
        batch_size: examples a step.
        seed: deals the examples to folds.
        on_progress: told how many examples are done, of how many.

    Returns:
        What was found for each classification head. Where no temperature lowers the
        cross-validated loss, or there are fewer than 30 examples, the head's temperature is 1.

    Raises:
        DataError: if the split is empty, has other classes, or no known label.

    References:
        Guo et al. 2017, https://arxiv.org/abs/1706.04599, section 4.2.
    """
    check_classes(model, split)
    logits = logits_of_split(model, split, batch_size, on_progress)
    return calibrate_with(model, split, logits, seed)


def calibrate_with(
    model: TransferModel, split: Split, logits: Any, seed: int = 0
) -> tuple[TemperatureFit, ...]:
    """Do what `calibrate` does, from logits that are known already.

    Args:
        model: changed in place.
        split: the labelled examples.
        logits: what `logits_of_split` returns.
        seed: deals the examples to folds.
    """
    found = []
    for head, target in zip(model.heads, split.targets, strict=True):
        if head.task in ("regression", TAGS):
            continue
        rows = by_head(model.heads, logits)[head.name]
        found.append(_fit_head(head.name, head.task, np.asarray(rows), target.labels, seed))
    if found:
        model.temperature = {fit.head: fit.temperature for fit in found}
    return tuple(found)


def _loss(logits: np.ndarray, labels: np.ndarray, task: str) -> float:
    if task == "multilabel":
        known = np.isfinite(labels) & (labels >= 0)
        signed = np.where(np.where(known, labels, 0) > 0.5, logits, -logits)
        return float(-log_expit(signed)[known].mean())
    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


def _fit_head(
    name: str, task: str, logits: np.ndarray, labels: np.ndarray, seed: int
) -> TemperatureFit:
    known = labels >= 0 if task == "multiclass" else np.isfinite(labels).any(axis=1)
    if not known.any():
        raise DataError(f"No example has a known {name!r}, so it cannot be calibrated.")
    logits, labels = logits[known].astype(np.float64), labels[known]
    fitted = fit_temperature(logits, labels, task)
    count = len(logits)
    folds = np.random.default_rng(seed).permutation(count) % min(_FOLDS, count)
    cooled = logits.copy()
    for fold in np.unique(folds):
        here = folds == fold
        if not here.all():
            cooled[here] /= fit_temperature(logits[~here], labels[~here], task)
    before, after = (_loss(rows, labels, task) for rows in (logits, cooled))
    error_before, error_after = (
        measure_calibration(*confidences_of(_probabilities(rows, task), labels, task)).error
        for rows in (logits, cooled)
    )
    # Loss decides, for it is a proper score; the binned error may fall by chance.
    temperature = fitted if after < before and count >= _FEWEST else 1.0
    return TemperatureFit(
        head=name,
        temperature=temperature,
        fitted=fitted,
        loss_before=before,
        loss_after=after,
        error_before=error_before,
        error_after=error_after,
        num_examples=count,
    )


def _probabilities(logits: np.ndarray, task: str) -> np.ndarray:
    return np.exp(log_expit(logits) if task == "multilabel" else log_softmax(logits, axis=1))
