"""The verdict counts the same examples under both sets of weights."""

import numpy as np
import pytest
from scipy.stats import binomtest

from tftune.training.run_state import PhaseRecord
from tftune.training.verdict import judge


def _records(right_before, right_after):
    """Two phases whose logits are right where they are told to be; class 0 is the true one."""

    def logits(right):
        right = np.asarray(right, dtype=float)
        return np.stack([right, 1 - right], axis=1)

    first = PhaseRecord("feature_extraction", logits={"kept": logits(right_before)})
    after = logits(right_after)
    second = PhaseRecord("fine_tuning", logits={"fine-tuned": after, "kept": after})
    return [first, second], np.zeros(len(right_before), dtype=int)


def test_many_gains_and_no_losses_are_certain():
    records, labels = _records([1] * 80 + [0] * 20, [1] * 95 + [0] * 5)
    verdict = judge(records, labels, "multiclass")
    assert verdict.gain.value == pytest.approx(0.15)
    assert verdict.p_value == pytest.approx(binomtest(15, 15).pvalue)
    assert verdict.sentence.startswith("Fine-tuning helped: validation accuracy 0.950")
    assert list(verdict.scores) == ["probe", "fine-tuned"]


def test_one_gain_more_than_losses_is_not_certain():
    records, labels = _records([1, 1, 1, 0, 0, 0], [1, 1, 0, 1, 1, 0])
    verdict = judge(records, labels, "multiclass")
    assert "not certain" in verdict.sentence
    assert verdict.gain.low <= 0 <= verdict.gain.high


def test_losses_are_called_harm_or_no_help():
    records, labels = _records([1] * 50, [0] * 30 + [1] * 20)
    assert judge(records, labels, "multiclass").sentence.startswith("Fine-tuning harmed")
    records, labels = _records([1] * 50, [1] * 50)
    assert judge(records, labels, "multiclass").sentence.startswith("Fine-tuning did not help")


def test_a_head_alone_has_no_gain_and_scratch_says_whether_transfer_was_negative():
    records, labels = _records([1, 1, 0, 0], [1, 1, 0, 0])
    scratch = np.array([[1.0, 0.0]] * 4)
    verdict = judge(records[:1], labels, "multiclass", from_scratch=scratch)
    assert verdict.sentence.startswith("The head alone reaches 0.500")
    assert "Transfer was negative" in verdict.sentence
    assert verdict.gain.value == 0


def test_several_labels_an_example_are_scored_label_by_label():
    kept = PhaseRecord("feature_extraction", logits={"kept": np.array([[1.0, -1.0], [1.0, 1.0]])})
    verdict = judge([kept], np.array([[1, 0], [0, 0]]), "multilabel")
    assert verdict.scores["probe"].value == 0.5
    assert verdict.p_value is None
