"""Metrics of tags of words: whole entities, as seqeval counts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tftune.data.entities import entities_of
from tftune.errors import DataError, ShapeError
from tftune.evaluation.bootstrap import NUM_RESAMPLES, intervals_of, nan_mean
from tftune.evaluation.metrics import check_finite
from tftune.results.evaluation import Evaluation

_RIGHT, _ANSWERED, _TRUE = range(3)


def tag_evaluation(
    probabilities: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Compute an Evaluation of tags, over texts.

    An entity counts if its type and all its words are right. Words that were not read, since their
    text is too long, are answered with the first class, "O".

    Args:
        probabilities: float, shape (num_examples, most words read, num_classes).
        labels: int, shape (num_examples, most words), -1 behind the words of a text.
        class_names: the tags.
        num_resamples: bootstrap resamples behind each interval; texts are drawn, not words.
        seed: seeds the bootstrap.

    Returns:
        The evaluation. The baseline answers "O" everywhere, which finds no entity.

    Raises:
        ShapeError: if the shapes do not agree.
        DataError: if an answer is NaN or no word has a tag.
    """
    if probabilities.ndim != 3 or probabilities.shape[::2] != (len(labels), len(class_names)):
        raise ShapeError(
            f"Answers must have shape ({len(labels)}, words, {len(class_names)}). "
            f"Received shape: {probabilities.shape}."
        )
    check_finite(probabilities)
    known = labels >= 0
    if not known.any():
        raise DataError("No word has a known tag; there is nothing to measure.")
    answered = answered_tags(probabilities, labels.shape[1])
    kinds, counts = _entity_counts(answered, labels, class_names)
    words = np.stack([((answered == labels) & known).sum(axis=1), known.sum(axis=1)], axis=1)
    one = np.ones((1, len(labels)))
    values = {n: float(column[0]) for n, column in _figures(counts, words, one).items()}
    outside = np.stack([((labels == 0) & known).sum(axis=1), known.sum(axis=1)], axis=1)
    none = counts * (np.arange(3) == _TRUE)
    baseline = {n: float(column[0]) for n, column in _figures(none, outside, one).items()}
    totals = counts.sum(axis=0)
    return Evaluation(
        split="test",
        num_examples=int(known.any(axis=1).sum()),
        metrics=values,
        intervals=intervals_of(
            values, lambda w: _figures(counts, words, w), len(labels), num_resamples, seed
        ),
        baseline=baseline,
        per_class={kind: _row(total) for kind, total in zip(kinds, totals, strict=True)},
        confusion=np.zeros((0, 0), int),
        class_names=tuple(class_names),
        task="tags",
    )


def answered_tags(scores: np.ndarray, num_words: int) -> np.ndarray:
    """Return the tag with the highest score for every word.

    Args:
        scores: shape (num_examples, words read, num_classes).
        num_words: words a row of the answer has; those that were not read get tag 0.

    Returns:
        int, shape (num_examples, num_words).
    """
    tags = np.zeros((len(scores), num_words), np.int64)
    read = min(num_words, scores.shape[1])
    tags[:, :read] = scores[:, :read].argmax(axis=-1)
    return tags


def _entity_counts(
    answered: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> tuple[list[str], np.ndarray]:
    """Count entities by text and type: right ones, answered ones, true ones.

    Returns:
        The types, and int, shape (num_examples, num_types, 3).
    """
    found = []
    for row, own in zip(labels, answered, strict=True):
        places = np.flatnonzero(row >= 0)
        found.append([set(entities_of([class_names[t] for t in s[places]])) for s in (own, row)])
    kinds = sorted({kind for both in found for side in both for kind, *_ in side})
    counts = np.zeros((len(labels), len(kinds), 3), int)
    for text, (own, true) in enumerate(found):
        for column, entities in ((_RIGHT, own & true), (_ANSWERED, own), (_TRUE, true)):
            for kind, *_ in entities:
                counts[text, kinds.index(kind), column] += 1
    return kinds, counts


def _figures(counts: np.ndarray, words: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the metrics on resamples, each of shape (num_resamples,)."""
    by_kind = np.einsum("rn,nkc->rkc", weights, counts)
    total = by_kind.sum(axis=1)
    right, all_words = (weights @ words).T
    single = [_f1(by_kind[:, kind]) for kind in range(by_kind.shape[1])]
    return {
        "entity_f1": _f1(total),
        "entity_precision": _ratio(total[:, _RIGHT], total[:, _ANSWERED]),
        "entity_recall": _ratio(total[:, _RIGHT], total[:, _TRUE]),
        "macro_f1": nan_mean(single) if single else np.full(len(weights), np.nan),
        "word_accuracy": _ratio(right, all_words),
    }


def _f1(counts: np.ndarray) -> np.ndarray:
    return _ratio(2 * counts[:, _RIGHT], counts[:, _ANSWERED] + counts[:, _TRUE])


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.maximum(whole, 1), 0.0)


def _row(counts: np.ndarray) -> Mapping[str, float]:
    one = counts[np.newaxis].astype(float)
    return {
        "precision": float(_ratio(one[:, _RIGHT], one[:, _ANSWERED])[0]),
        "recall": float(_ratio(one[:, _RIGHT], one[:, _TRUE])[0]),
        "f1": float(_f1(one)[0]),
        "support": float(counts[_TRUE]),
    }
