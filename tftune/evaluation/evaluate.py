"""Running a model over a split and measuring it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tftune.builders.heads import by_head
from tftune.builders.transfer_model import TransferModel
from tftune.config.model_spec import TAGS, HeadSpec
from tftune.data.bad_files import bad_files_named
from tftune.data.dataset import Split
from tftune.data.pipeline import input_batches
from tftune.errors import DataError
from tftune.evaluation.metrics import classification_evaluation
from tftune.evaluation.multilabel_metrics import multilabel_evaluation
from tftune.evaluation.regression_metrics import regression_evaluation
from tftune.evaluation.reliability import confidences_of, measure_calibration
from tftune.evaluation.tag_metrics import tag_evaluation
from tftune.results.evaluation import Evaluation
from tftune.results.predictions import Predictions

Progress = Callable[[int, int], None]

_METRICS: Mapping[str, Callable[..., Evaluation]] = {
    "multiclass": classification_evaluation,
    "multilabel": multilabel_evaluation,
    "regression": regression_evaluation,
    TAGS: tag_evaluation,
}


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
        Metrics with intervals and the baseline beside them, a table by class and the answers
        themselves; for a multiclass head the confusion matrix too. Several heads are all
        measured: the first one's evaluation holds the `others`.

    Raises:
        DataError: if the split is empty, its classes are not the model's, or answers are NaN.
    """
    check_classes(model, split)
    logits = logits_of_split(model, split, batch_size, on_progress)
    return evaluate_logits(model, split, logits, seed)


def evaluate_logits(model: TransferModel, split: Split, logits: Any, seed: int = 0) -> Evaluation:
    """Measure answers that a model gave.

    Args:
        model: whose heads say what the answers mean.
        split: the labelled examples; unknown labels are left out.
        logits: what `logits_of_split` returns.
        seed: seeds the bootstrap of the intervals.

    Returns:
        The first head's evaluation; it holds those of the others.
    """
    outputs = model.outputs_from_logits(logits)
    names, fingerprints = split.examples.names, split.examples.fingerprints
    found = []
    for head, target in zip(model.heads, split.targets, strict=True):
        answers = outputs[head.name] if isinstance(outputs, Mapping) else outputs
        raw = by_head(model.heads, logits)[head.name]
        known = target.partly_known
        if not known.any():
            raise DataError(f"No example of the {split.name} split has a known {head.name!r}.")
        rows = np.flatnonzero(known)
        predictions = Predictions(
            labels=target.labels[rows],
            outputs=np.asarray(answers)[rows],
            logits=np.asarray(raw)[rows],
            indices=rows,
            names=tuple(names[row] for row in rows),
            fingerprints=tuple(fingerprints[row] for row in rows),
        )
        found.append(
            dataclasses.replace(
                evaluate_predictions(predictions, head.task, head.class_names, seed),
                split=split.name,
                head=head.name,
            )
        )
    return dataclasses.replace(found[0], others=tuple(found[1:]))


def evaluate_predictions(
    predictions: Predictions, task: str, class_names: Sequence[str], seed: int = 0
) -> Evaluation:
    """Measure one head's answers.

    Args:
        predictions: the answers and the true labels.
        task: the head's task.
        class_names: the meaning of its outputs.
        seed: seeds the bootstrap of the intervals.
    """
    answers, labels = predictions.outputs, predictions.labels
    measured = _METRICS[task](answers, labels, class_names, seed=seed)
    calibration = None
    if task not in ("regression", TAGS):
        calibration = measure_calibration(*confidences_of(answers, labels, task))
    return dataclasses.replace(measured, predictions=predictions, calibration=calibration)


def evaluate_heads(
    heads: Sequence[HeadSpec], split: Split, outputs: Any, seed: int = 0
) -> Evaluation:
    """Measure answers where there are no logits, such as those of an export.

    Args:
        heads: what the answers mean.
        split: the labelled examples; unknown labels are left out.
        outputs: what `predict_split` returns.
        seed: seeds the bootstrap of the intervals.

    Returns:
        The first head's evaluation; it holds those of the others.
    """
    found = []
    for head, target in zip(heads, split.targets, strict=True):
        answers = np.asarray(outputs[head.name] if isinstance(outputs, Mapping) else outputs)
        known = target.partly_known
        if not known.any():
            raise DataError(f"No example of the {split.name} split has a known {head.name!r}.")
        measured = _METRICS[head.task](
            answers[known], target.labels[known], head.class_names, seed=seed
        )
        found.append(dataclasses.replace(measured, split=split.name, head=head.name))
    return dataclasses.replace(found[0], others=tuple(found[1:]))


def logits_of_split(
    model: TransferModel, split: Split, batch_size: int = 32, on_progress: Progress | None = None
) -> Any:
    """Run a model over a split from its original files, up to its logits.

    Returns:
        float32, shape (num_examples, num_outputs); for several heads by head name.
    """
    return _run(model.forward_logits, model, split, batch_size, on_progress)


def predict_split(
    model: TransferModel, split: Split, batch_size: int = 32, on_progress: Progress | None = None
) -> Any:
    """Run a model over a split from its original files.

    Returns:
        float32, shape (num_examples, num_classes); for several heads such arrays by head name.
    """
    return _run(model.forward, model, split, batch_size, on_progress)


def _run(
    network: Callable[[Any], Any],
    model: TransferModel,
    split: Split,
    batch_size: int,
    on_progress: Progress | None,
) -> Any:
    answers: list[Any] = []
    done = 0
    with bad_files_named(split.examples):
        for pixels in input_batches(split.examples, model.contract, batch_size):
            answers.append(keras.tree.map_structure(np.asarray, network(pixels)))
            done += len(pixels)
            if on_progress:
                on_progress(done, len(split))
    return keras.tree.map_structure(lambda *parts: np.concatenate(parts), *answers)


def check_classes(model: TransferModel, split: Split) -> None:
    """Raise DataError unless a split can be measured with a model."""
    check_targets(model.heads, split)


def check_targets(heads: Sequence[HeadSpec], split: Split) -> None:
    """Raise DataError unless a split's targets are what heads answer."""
    if len(split) == 0:
        raise DataError(f"The {split.name} split is empty; there is nothing to measure.")
    asked = [(target.name, target.task) for target in split.targets]
    answered = [(head.name, head.task) for head in heads]
    # One target may be called what it will; several are told apart by their names.
    if len(asked) != len(answered) or (asked != answered and len(asked) > 1):
        raise DataError(
            "The split's targets must be the model's, in the same order. "
            f"Received: {asked}. The model answers: {answered}."
        )
    for head, target in zip(heads, split.targets, strict=True):
        if head.task != target.task:
            raise DataError(
                f"The split's labels must be {head.task}, as the model's head is. "
                f"Received: {target.task}."
            )
        if target.class_names != head.class_names:
            extra = sorted(set(target.class_names) - set(head.class_names))
            missing = sorted(set(head.class_names) - set(target.class_names))
            raise DataError(
                "The split's classes must be the model's, in the same order. "
                f"Only in the split: {extra or 'none'}. Only in the model: {missing or 'none'}. "
                "Give data of the model's classes, such as what it was trained on."
            )
