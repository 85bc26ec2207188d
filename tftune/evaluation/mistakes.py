"""What a model gets wrong, as pictures: its surest mistakes, confused pairs, nearest examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tftune.builders.transfer_model import TransferModel
from tftune.cache.store import ActivationStore
from tftune.cache.trunk_pass import boundary_activations
from tftune.data.dataset import Dataset, Split
from tftune.errors import ConfigError, DataError
from tftune.results.evaluation import Evaluation
from tftune.results.predictions import Predictions

_COLUMNS = 6
_CELL = 1.6  # inches


@dataclass(frozen=True)
class Mistake:
    """An example that was answered wrongly.

    Attributes:
        index: its place in the split.
        name: what to call it.
        true: its class.
        predicted: the answer.
        confidence: the answer's probability.
        true_probability: the probability of its own class.
    """

    index: int
    name: str
    true: str
    predicted: str
    confidence: float
    true_probability: float


@dataclass(frozen=True)
class ConfusedPair:
    """Two classes of which one is taken for the other.

    Attributes:
        true: the class.
        predicted: what it is taken for.
        count: how often.
        share: of the class's examples.
        mistakes: which, the surest first.
    """

    true: str
    predicted: str
    count: int
    share: float
    mistakes: tuple[Mistake, ...]


def find_mistakes(evaluation: Evaluation, count: int | None = None) -> tuple[Mistake, ...]:
    """List mistakes, the most confident first.

    Args:
        evaluation: of a multiclass head, with predictions.
        count: at most so many; all by default.

    Raises:
        ConfigError: if the head is not multiclass.
        DataError: if the evaluation holds no predictions.
    """
    answers = _answers(evaluation)
    wrong = np.flatnonzero(answers.predicted != answers.labels)
    order = wrong[np.argsort(-answers.confidence[wrong], kind="stable")]
    return tuple(_mistake(evaluation, answers, row) for row in order[:count])


def find_confused_pairs(evaluation: Evaluation, count: int = 5) -> tuple[ConfusedPair, ...]:
    """List which classes are taken for which, the most frequent first.

    Args:
        evaluation: of a multiclass head, with predictions.
        count: at most so many pairs.
    """
    mistakes: dict[tuple[str, str], list[Mistake]] = {}
    for mistake in find_mistakes(evaluation):
        mistakes.setdefault((mistake.true, mistake.predicted), []).append(mistake)
    ranked = sorted(mistakes.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple(
        ConfusedPair(
            true=true,
            predicted=predicted,
            count=len(found),
            share=len(found) / evaluation.per_class[true]["support"],
            mistakes=tuple(found),
        )
        for (true, predicted), found in ranked[:count]
    )


def plot_mistakes(evaluation: Evaluation, split: Split, count: int = 12) -> Any:
    """Draw the most confident mistakes.

    Args:
        evaluation: of a multiclass head on `split`.
        split: where the images are.
        count: at most so many.

    Returns:
        A matplotlib Figure.
    """
    found = find_mistakes(evaluation, count)
    pictures = [
        (_pixels(split, m.index), f"{m.predicted} {m.confidence:.2f}\nis {m.true}") for m in found
    ]
    return _grid(pictures, f"{split.name}: most confident mistakes", _COLUMNS)


def plot_confused_pairs(evaluation: Evaluation, split: Split, count: int = 4) -> Any:
    """Draw the most confused pairs of classes, a row a pair.

    Args:
        evaluation: of a multiclass head on `split`.
        split: where the images are.
        count: at most so many pairs.

    Returns:
        A matplotlib Figure.
    """
    pictures = []
    for pair in find_confused_pairs(evaluation, count):
        told = f"{pair.true} as\n{pair.predicted}: {pair.count} ({pair.share:.0%})"
        for place in range(_COLUMNS):
            if place < len(pair.mistakes):
                m = pair.mistakes[place]
                title = told if place == 0 else f"\n{m.confidence:.2f}"
                pictures.append((_pixels(split, m.index), title))
            else:
                pictures.append((None, ""))
    return _grid(pictures, f"{split.name}: most confused pairs", _COLUMNS)


def nearest_examples(
    model: TransferModel,
    data: Dataset,
    split: Split,
    indices: list[int],
    count: int = 5,
    store: ActivationStore | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the training examples that the network sees as most alike, from cached features.

    Args:
        model: whose pooled features are compared.
        data: `train` is searched.
        split: where the examples are.
        indices: which examples of it.
        count: neighbours each.
        store: the cache; the default one if None.

    Returns:
        Places in `data.train`, int, shape (len(indices), count), the nearest first; and their
        cosine similarities, float32, of the same shape.
    """
    trunk, _ = model.cut(model.spec.pooled_layer)
    rows = [
        np.asarray(boundary_activations(trunk, part.examples, store=store)).astype(np.float32)
        for part in (data.train, split.take(indices))
    ]
    train, asked = (r / np.maximum(np.linalg.norm(r, axis=1, keepdims=True), 1e-12) for r in rows)
    similarity = asked @ train.T
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :count]
    return nearest, np.take_along_axis(similarity, nearest, axis=1)


def plot_neighbours(
    model: TransferModel,
    data: Dataset,
    evaluation: Evaluation,
    split: Split,
    count: int = 4,
    store: ActivationStore | None = None,
) -> Any:
    """Draw the most confident mistakes beside the training examples the network sees as most alike.

    What a mistake's neighbours are labelled often explains it, or shows a wrong label.

    Args:
        model: the network.
        data: `train` is searched.
        evaluation: of a multiclass head on `split`.
        split: where the mistakes are.
        count: at most so many mistakes.
        store: the cache; the default one if None.

    Returns:
        A matplotlib Figure.
    """
    found = find_mistakes(evaluation, count)
    if not found:
        return _grid([], f"{split.name}: no mistakes", _COLUMNS)
    places = [mistake.index for mistake in found]
    nearest, similar = nearest_examples(model, data, split, places, _COLUMNS - 1, store)
    pictures = []
    for mistake, rows, alike in zip(found, nearest, similar, strict=True):
        told = f"{mistake.predicted} {mistake.confidence:.2f}\nis {mistake.true}"
        pictures.append((_pixels(split, mistake.index), told))
        for place in range(_COLUMNS - 1):
            if place < len(rows):
                label = data.class_names[int(data.train.labels[rows[place]])]
                title = f"{label}\nalike {alike[place]:.2f}"
                pictures.append((_pixels(data.train, int(rows[place])), title))
            else:
                pictures.append((None, ""))
    title = f"{split.name}: mistakes (left) and the training images most like them"
    return _grid(pictures, title, _COLUMNS)


def _answers(evaluation: Evaluation) -> Predictions:
    if evaluation.task != "multiclass":
        raise ConfigError(
            f"Mistakes are those of a multiclass head. Received: a {evaluation.task} head."
        )
    if evaluation.predictions is None:
        raise DataError("`evaluation` must hold its predictions, as `tftune.evaluate` returns it.")
    return evaluation.predictions


def _mistake(evaluation: Evaluation, answers: Predictions, row: int) -> Mistake:
    label = int(answers.labels[row])
    return Mistake(
        index=int(answers.indices[row]),
        name=answers.names[row],
        true=evaluation.class_names[label],
        predicted=evaluation.class_names[int(answers.predicted[row])],
        confidence=float(answers.confidence[row]),
        true_probability=float(answers.outputs[row, label]),
    )


def _pixels(split: Split, index: int) -> np.ndarray | None:
    try:
        return split.examples.pixels(index)
    except (DataError, OSError):
        return None  # the file went away since; its place stays empty


def _grid(pictures: list[tuple[np.ndarray | None, str]], title: str, columns: int) -> Any:
    from matplotlib.figure import Figure

    rows = max(1, -(-len(pictures) // columns))
    size = (columns * _CELL, rows * (_CELL + 0.35) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title if pictures else f"{title}: none", fontsize="medium")
    for axes in figure.subplots(rows, columns, squeeze=False).ravel():
        axes.set_axis_off()
    for axes, (pixels, text) in zip(figure.axes, pictures, strict=False):
        axes.set_title(text, fontsize=8)
        if pixels is not None:
            axes.imshow(pixels)
    return figure
