"""Classification metrics, by scikit-learn, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn import metrics

from tftune.errors import DataError, ShapeError
from tftune.results.evaluation import Evaluation, Interval


def classification_evaluation(
    probabilities: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    split: str = "test",
    num_resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Compute an Evaluation from probabilities and true labels.

    Args:
        probabilities: float, shape (num_examples, num_classes); each row sums to 1.
        labels: int, shape (num_examples,), in [0, num_classes).
        class_names: one a column.
        split: a name for the report.
        num_resamples: bootstrap resamples behind each interval.
        seed: seeds the bootstrap.

    Returns:
        The evaluation; intervals are 95% percentile bootstrap intervals (Efron & Tibshirani 1993).

    Raises:
        ShapeError: if the shapes do not agree.
        DataError: if a probability is NaN.
    """
    labels = np.asarray(labels)
    if probabilities.shape != (len(labels), len(class_names)):
        raise ShapeError(
            f"`probabilities` must have shape {(len(labels), len(class_names))}. "
            f"Received shape: {probabilities.shape}."
        )
    if np.isnan(probabilities).any():
        raise DataError("`probabilities` holds NaN: the model's weights or inputs are broken.")
    num_classes = len(class_names)
    predicted = probabilities.argmax(axis=1)
    losses = cross_entropies(probabilities, labels)
    values = {
        "accuracy": float(metrics.accuracy_score(labels, predicted)),
        "macro_f1": _macro_f1(labels, predicted),
        "loss": float(losses.mean()),
    }
    samples = _resample(labels, predicted, losses, num_resamples, seed)
    intervals = {
        name: Interval(value, *np.quantile(samples[name], [0.025, 0.975]).tolist())
        for name, value in values.items()
    }
    columns = metrics.precision_recall_fscore_support(
        labels, predicted, labels=range(num_classes), zero_division=0
    )
    keys = ("precision", "recall", "f1", "support")
    per_class = {
        name: dict(zip(keys, (float(p), float(r), float(f), int(n)), strict=True))
        for name, p, r, f, n in zip(class_names, *columns, strict=True)
    }
    return Evaluation(
        split=split,
        num_examples=len(labels),
        metrics=values,
        intervals=intervals,
        baseline_accuracy=float(np.bincount(labels).max() / len(labels)),
        per_class=per_class,
        confusion=metrics.confusion_matrix(labels, predicted, labels=range(num_classes)),
        class_names=tuple(class_names),
    )


def cross_entropies(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return each example's negative log-likelihood in nats, float64, shape (num_examples,)."""
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    # A float32 softmax can give an exact 0; its own resolution is the honest floor.
    return -np.log(np.maximum(chosen, np.finfo(np.float32).tiny))


def _resample(
    labels: np.ndarray, predicted: np.ndarray, losses: np.ndarray, num_resamples: int, seed: int
) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    num_classes = int(max(labels.max(), predicted.max())) + 1
    samples: dict[str, list[float]] = {"accuracy": [], "macro_f1": [], "loss": []}
    for _ in range(num_resamples):
        chosen = generator.integers(0, len(labels), len(labels))
        true, guess = labels[chosen], predicted[chosen]
        samples["accuracy"].append(float(np.mean(true == guess)))
        samples["macro_f1"].append(_macro_f1_from_counts(true, guess, num_classes))
        samples["loss"].append(float(losses[chosen].mean()))
    return {name: np.array(values) for name, values in samples.items()}


def _macro_f1(labels: np.ndarray, predicted: np.ndarray) -> float:
    return float(metrics.f1_score(labels, predicted, average="macro", zero_division=0))


def _macro_f1_from_counts(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> float:
    """Equal `_macro_f1`; a thousand calls of scikit-learn's would take seconds."""
    true = np.bincount(labels, minlength=num_classes)
    guessed = np.bincount(predicted, minlength=num_classes)
    right = np.bincount(labels[labels == predicted], minlength=num_classes)
    present = (true + guessed) > 0
    return float(np.mean(2 * right[present] / (true + guessed)[present]))
