"""What each example adds to a head's headline score."""

from __future__ import annotations

import numpy as np


def headline_scores(outputs: np.ndarray, labels: np.ndarray, task: str) -> tuple[str, np.ndarray]:
    """Score each example, so that the mean is the score of them all.

    Args:
        outputs: float, shape (num_examples, num_outputs).
        labels: as in `Target.labels`.
        task: "multiclass", "multilabel" or "regression".

    Returns:
        The score's name, "accuracy", "label_accuracy" or "mae", and a float64 array of shape
        (num_examples,); NaN where no label is known.
    """
    if task == "multiclass":
        right = (outputs.argmax(axis=1) == labels).astype(float)
        return "accuracy", np.where(labels >= 0, right, np.nan)
    known = np.isfinite(labels)
    if task == "multilabel":
        known &= labels >= 0
        points, name = ((outputs > 0.5) == (labels > 0.5)).astype(float), "label_accuracy"
    else:
        points, name = np.abs(outputs.astype(np.float64) - labels), "mae"
    counts = known.sum(axis=1)
    totals = np.where(known, points, 0).sum(axis=1)
    return name, np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)
