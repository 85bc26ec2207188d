"""How far confidence is from accuracy."""

from __future__ import annotations

import numpy as np

from tftune.errors import ShapeError
from tftune.results.calibration import Calibration, ConfidenceBin

NUM_BINS = 15


def expected_calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, num_bins: int = NUM_BINS, adaptive: bool = False
) -> float:
    """Measure the gap between confidence and accuracy.

    Args:
        probabilities: float, shape (num_examples, num_classes); each row sums to 1.
        labels: int, shape (num_examples,), in [0, num_classes).
        num_bins: bins of confidence.
        adaptive: bins of equally many examples, instead of equal width over [0, 1].

    Returns:
        Error in [0, 1], dimensionless; 0 is perfectly calibrated.

    Raises:
        ShapeError: if the leading dimensions differ.

    Example:
        >>> expected_calibration_error(np.eye(2), np.array([0, 1]))
        0.0

    References:
        Guo et al. 2017, https://arxiv.org/abs/1706.04599, section 2; adaptive bins: Nguyen &
        O'Connor 2015, https://arxiv.org/abs/1508.05154.
    """
    if probabilities.shape[:1] != labels.shape:
        raise ShapeError(
            "`probabilities` and `labels` must have as many rows. Received shapes: "
            f"{probabilities.shape} and {labels.shape}."
        )
    confidence, right = confidences_of(probabilities, labels, "multiclass")
    calibration = measure_calibration(confidence, right, num_bins)
    return calibration.adaptive_error if adaptive else calibration.error


def confidences_of(
    probabilities: np.ndarray, labels: np.ndarray, task: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return each answer's confidence, and whether it is right.

    Args:
        probabilities: float, shape (num_examples, num_classes).
        labels: as in `Target.labels`.
        task: "multiclass", where an answer is the most probable class; or "multilabel", where it is
            yes or no to each known label.
    """
    if task == "multilabel":
        known = np.isfinite(labels) & (labels >= 0)
        chances = probabilities[known].astype(np.float64)
        yes = chances > 0.5
        return np.where(yes, chances, 1 - chances), yes == (labels[known] > 0.5)
    return probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == labels


def measure_calibration(
    confidence: np.ndarray, right: np.ndarray, num_bins: int = NUM_BINS
) -> Calibration:
    """Put answers into bins of confidence.

    Args:
        confidence: float, shape (num_answers,), in [0, 1].
        right: bool, shape (num_answers,).
        num_bins: bins; those without answers are left out.
    """
    place = np.clip(np.ceil(confidence * num_bins).astype(int) - 1, 0, num_bins - 1)
    bins = []
    for index in np.unique(place):
        chosen = place == index
        bins.append(
            ConfidenceBin(
                low=float(index / num_bins),
                high=float((index + 1) / num_bins),
                count=int(chosen.sum()),
                confidence=float(confidence[chosen].mean()),
                accuracy=float(right[chosen].mean()),
            )
        )
    error = sum(b.count * abs(b.confidence - b.accuracy) for b in bins) / len(confidence)
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(num_bins, len(order)))
    gaps = [len(p) * abs(confidence[p].mean() - right[p].mean()) for p in parts]
    return Calibration(float(error), float(sum(gaps) / len(confidence)), tuple(bins), len(order))
