"""Running a model over a split and measuring it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tftune.builders.transfer_model import TransferModel
from tftune.data.dataset import Split
from tftune.data.pipeline import image_batches
from tftune.errors import DataError
from tftune.evaluation.metrics import classification_evaluation
from tftune.results.evaluation import Evaluation

Progress = Callable[[int, int], None]


def evaluate(
    model: TransferModel,
    split: Split,
    batch_size: int = 32,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> Evaluation:
    """Measure a model on labelled examples.

    Args:
        model: what to measure.
        split: examples it was not trained on, such as `data.test`.
        batch_size: examples a step.
        seed: seeds the bootstrap of the intervals.
        on_progress: told how many examples are done, of how many.

    Returns:
        Metrics with intervals, a table by class and the confusion matrix.

    Raises:
        DataError: if the split is empty or its classes are not the model's.
    """
    check_classes(model, split)
    probabilities = predict_split(model, split, batch_size, on_progress)
    return classification_evaluation(
        probabilities, split.labels, split.class_names, split=split.name, seed=seed
    )


def predict_split(
    model: TransferModel, split: Split, batch_size: int = 32, on_progress: Progress | None = None
) -> np.ndarray:
    """Run a model over a split from its original files.

    Returns:
        float32, shape (num_examples, num_classes).
    """
    answers = []
    done = 0
    for pixels in image_batches(split.examples, model.image_input, batch_size):
        answers.append(model.forward(pixels).numpy())
        done += len(pixels)
        if on_progress:
            on_progress(done, len(split))
    return np.concatenate(answers)


def check_classes(model: TransferModel, split: Split) -> None:
    """Raise DataError unless a split can be measured with a model."""
    if len(split) == 0:
        raise DataError(f"The {split.name} split is empty; there is nothing to measure.")
    if split.class_names != model.class_names:
        extra = sorted(set(split.class_names) - set(model.class_names))
        missing = sorted(set(model.class_names) - set(split.class_names))
        raise DataError(
            "The split's classes must be the model's, in the same order. "
            f"Only in the split: {extra or 'none'}. Only in the model: {missing or 'none'}."
        )
