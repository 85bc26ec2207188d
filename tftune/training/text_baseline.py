"""Baselines that text models have to beat: TF-IDF with logistic regression, a word's usual tag."""

from __future__ import annotations

from typing import Any

import numpy as np

from tftune.config.model_spec import TAGS, HeadSpec
from tftune.data.dataset import Dataset
from tftune.data.text_examples import Texts

TFIDF = "TF-IDF"
USUAL_TAG = "each word's usual tag"
_INVERSE_REGULARIZATION = (1.0, 10.0, 100.0)
_MOST_TEXTS = 20_000
"""Texts that are learned from; more make it slow and hardly better."""


def tfidf_logits(
    data: Dataset, heads: tuple[HeadSpec, ...], seed: int = 0
) -> dict[str, np.ndarray]:
    """Fit logistic regressions on TF-IDF of words and pairs of words, and ask them.

    The strength of the regularisation is the best of three on the validation split, as every
    candidate of a run is chosen there.

    Args:
        data: trained on `train`.
        heads: which are multiclass ones of these are answered.
        seed: chooses which texts are used where there are very many.

    Returns:
        Logits on the validation split by head name, shape (num_examples, num_classes); nothing for
        heads of other tasks, for images, or where training labels are all of one class.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    if not isinstance(data.train.examples, Texts) or not isinstance(
        data.validation.examples, Texts
    ):
        return {}
    found = {}
    for head, train, validation in zip(
        heads, data.train.targets, data.validation.targets, strict=True
    ):
        known = np.flatnonzero(train.known)
        if head.task != "multiclass" or not validation.known.any():
            continue
        if len(set(train.labels[known].tolist())) < 2:
            continue
        chosen = np.random.default_rng(seed).permutation(known)[:_MOST_TEXTS]
        vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
        try:
            features = vectorizer.fit_transform(_joined(data.train.examples.take(chosen)))
        except ValueError:  # no text holds a word
            continue
        asked = vectorizer.transform(_joined(data.validation.examples))
        best = -1.0
        for strength in _INVERSE_REGULARIZATION:
            classifier = LogisticRegression(C=strength, max_iter=300)
            classifier.fit(features, train.labels[chosen])
            logits = np.full((len(validation), len(head.class_names)), -1e9, np.float32)
            logits[:, classifier.classes_] = classifier.predict_log_proba(asked)
            right = (logits.argmax(axis=1) == validation.labels)[validation.known].mean()
            if right > best:
                best, found[head.name] = right, logits
    return found


def usual_tag_logits(data: Dataset, heads: tuple[HeadSpec, ...]) -> dict[str, np.ndarray]:
    """Answer each word with the tag it has most often in the training texts.

    Returns:
        For a head of tags its logits on the validation split, shape (num_examples, most words,
        num_classes): how often the word has each tag; words never seen have no tag. Nothing for
        other heads.
    """
    if heads[0].task != TAGS:
        return {}
    head, train, validation = heads[0], data.train.targets[0], data.validation.targets[0]
    counts: dict[str, np.ndarray] = {}
    for text, tags in zip(_joined(data.train.examples), train.labels, strict=True):
        for word, tag in zip(text.split(" "), tags, strict=False):
            counts.setdefault(word, np.zeros(len(head.class_names), np.float32))[tag] += 1
    logits = np.zeros((*validation.labels.shape, len(head.class_names)), np.float32)
    for row, text in zip(logits, _joined(data.validation.examples), strict=True):
        for place, word in enumerate(text.split(" ")[: len(row)]):
            if word in counts:
                row[place] = counts[word]
    return {head.name: logits}


def _joined(texts: Any) -> list[str]:
    return [" ".join(row) for row in zip(*texts.columns, strict=True)]
