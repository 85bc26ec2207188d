"""Entities are found and counted as seqeval does."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.metrics.sequence_labeling import get_entities

from tftune.data.entities import entities_of
from tftune.errors import ShapeError
from tftune.evaluation.tag_metrics import tag_evaluation

TAGS = ("O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in ("PER", "LOC")))
TEXTS = st.lists(st.lists(st.sampled_from(TAGS), min_size=1, max_size=8), min_size=1, max_size=5)


def as_labels(texts, most):
    labels = np.full((len(texts), most), -1)
    for row, tags in enumerate(texts):
        labels[row, : len(tags)] = [TAGS.index(tag) for tag in tags]
    return labels


@given(st.lists(st.sampled_from(TAGS), max_size=12))
@settings(max_examples=150)
def test_entities_are_those_of_seqeval(tags):
    assert entities_of(tags) == get_entities(tags)


@given(TEXTS, st.randoms(use_true_random=False))
@settings(max_examples=50)
def test_entity_scores_are_those_of_seqeval(texts, random):
    answers = [[random.choice([tag, random.choice(TAGS)]) for tag in tags] for tags in texts]
    labels = as_labels(texts, 9)
    probabilities = np.eye(len(TAGS))[np.maximum(as_labels(answers, 9), 0)]
    found = tag_evaluation(probabilities, labels, TAGS, num_resamples=0).metrics
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, score in (
            ("entity_f1", f1_score),
            ("entity_precision", precision_score),
            ("entity_recall", recall_score),
        ):
            assert found[name] == pytest.approx(score(texts, answers))
        macro = f1_score(texts, answers, average="macro")
        assert found["macro_f1"] == pytest.approx(macro, nan_ok=True)


def test_words_that_were_not_read_belong_to_nothing():
    labels = as_labels([["B-PER", "I-PER", "O", "B-LOC"]], 4)
    probabilities = np.eye(len(TAGS))[labels][:, :3]
    found = tag_evaluation(probabilities, labels, TAGS)
    assert found.metrics["entity_recall"] == 0.5 and found.metrics["entity_precision"] == 1
    assert found.metrics["word_accuracy"] == 0.75
    assert found.baseline["entity_f1"] == 0 and found.baseline["word_accuracy"] == 0.25
    assert found.per_class["LOC"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}
    assert "entity f1" in str(found)
    with pytest.raises(ShapeError, match="Answers must have shape"):
        tag_evaluation(probabilities[..., :2], labels, TAGS)
