"""What each example adds to a head's headline score."""

from __future__ import annotations

import numpy as np

from tftune.config.model_spec import TAGS
from tftune.evaluation.tag_metrics import answered_tags


def headline_scores(outputs: np.ndarray, labels: np.ndarray, task: str) -> tuple[str, np.ndarray]:
    """Score each example, so that the mean is the score of them all.

    Args:
        outputs: float, shape (num_examples, num_outputs).
        labels: as in `Target.labels`.
        task: "multiclass", "multilabel", "regression" or "tags".

    Returns:
        The score's name, "accuracy", "label_accuracy", "mae" or "word_accuracy" (the share of a
        text's words), and a float64 array of shape (num_examples,); NaN where no label is known.
    """
    if task == "multiclass":
        right = (outputs.argmax(axis=1) == labels).astype(float)
        return "accuracy", np.where(labels >= 0, right, np.nan)
    if task == TAGS:
        words = labels >= 0
        right = ((answered_tags(outputs, labels.shape[1]) == labels) & words).sum(axis=1)
        counted = words.sum(axis=1)
        return "word_accuracy", np.where(counted > 0, right / np.maximum(counted, 1), np.nan)
    known = np.isfinite(labels)
    if task == "multilabel":
        known &= labels >= 0
        points, name = ((outputs > 0.5) == (labels > 0.5)).astype(float), "label_accuracy"
    else:
        points, name = np.abs(outputs.astype(np.float64) - labels), "mae"
    counts = known.sum(axis=1)
    totals = np.where(known, points, 0).sum(axis=1)
    return name, np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)
