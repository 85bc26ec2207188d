"""Doubtful labels and outliers, found from features alone."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tftune.evaluation.label_errors import (
    confident_joint,
    find_label_errors,
    find_outliers,
    out_of_fold,
    reduced,
)


@pytest.fixture(scope="module")
def digits():
    """Real scans; their pixels are features enough."""
    loaded = load_digits()
    return reduced(loaded.data[:1000] / 8.0), loaded.target[:1000]


def _with_wrong_labels(labels, share, seed=0):
    generator = np.random.default_rng(seed)
    wrong = generator.permutation(len(labels))[: round(share * len(labels))]
    changed = labels.copy()
    changed[wrong] = (changed[wrong] + generator.integers(1, 10, len(wrong))) % 10
    return changed, wrong


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
def test_wrong_labels_are_found_and_counted_without_knowing_how_many(digits, share):
    features, labels = digits
    changed, wrong = _with_wrong_labels(labels, share)
    found = find_label_errors(features, changed)
    hits = np.isin(found.flagged, wrong).sum()
    assert hits >= 0.8 * len(wrong)
    assert hits >= 0.7 * len(found.flagged)
    assert found.estimated_number == pytest.approx(len(wrong), rel=0.35)
    right = found.predicted[wrong] == labels[wrong]
    assert right.mean() > 0.6  # chance is 0.1


def test_the_most_doubtful_come_first(digits):
    changed, _ = _with_wrong_labels(digits[1], 0.05)
    found = find_label_errors(digits[0], changed)
    assert (np.diff(found.probabilities[found.flagged]) <= 0).all()


def test_clean_labels_are_left_alone(digits):
    # A few scans of this collection can hardly be told apart even by people.
    found = find_label_errors(*digits)
    assert len(found.flagged) <= 10


def test_classes_too_small_to_learn_are_not_judged(digits):
    features, labels = digits[0][:200], digits[1][:200].copy()
    labels[:4] = 77
    found = find_label_errors(features, labels)
    assert (found.probabilities[:4] == 0).all()
    assert not set(found.flagged) & set(range(4))


def test_one_class_alone_is_not_judged(digits):
    found = find_label_errors(digits[0][:50], np.zeros(50, int))
    assert len(found.flagged) == 0
    assert found.estimated_number == 0


def test_copies_do_not_vouch_for_each_other(digits):
    features, labels = digits[0][:500], digits[1][:500]
    # Twelve copies of one scan, all with the same wrong label.
    features = np.concatenate([features, np.repeat(features[:1], 12, axis=0)])
    labels = np.concatenate([labels, np.full(12, (labels[0] + 3) % 10)])
    groups = np.concatenate([np.arange(500), np.zeros(12, int)])
    alone = find_label_errors(features, labels).probabilities[500:]
    together = find_label_errors(features, labels, groups).probabilities[500:]
    assert together.min() > 0.5 > alone.max()


def test_a_class_of_copies_of_one_picture_is_not_judged(digits):
    features = np.concatenate([digits[0][:200], np.repeat(digits[0][:1], 8, axis=0)])
    labels = np.concatenate([digits[1][:200], np.full(8, 42)])
    groups = np.concatenate([np.arange(1, 201), np.zeros(8, int)])
    assert (find_label_errors(features, labels, groups).probabilities[200:] == 0).all()


def test_the_confident_joint_is_its_definition(digits):
    features, labels = digits[0][:300], _with_wrong_labels(digits[1][:300], 0.1)[0]
    log_probabilities = out_of_fold(features, labels, np.arange(300), seed=0)
    thresholds = [np.exp(log_probabilities)[labels == k, k].mean() for k in range(10)]
    expected = []
    for row, label in zip(np.exp(log_probabilities), labels, strict=True):
        confident = [k for k in range(10) if row[k] >= thresholds[k]]
        expected.append(bool(confident) and max(confident, key=lambda k: row[k]) != label)
    np.testing.assert_array_equal(confident_joint(log_probabilities, labels), expected)


def test_every_example_is_judged_by_a_probe_that_has_not_seen_it():
    # Noise cannot be predicted; a probe that had seen the labels would recall some of them.
    generator = np.random.default_rng(0)
    features, labels = generator.normal(size=(400, 300)), generator.integers(0, 2, 400)
    answers = out_of_fold(features * 30, labels, np.arange(400), seed=0)
    accuracy = (answers.argmax(axis=1) == labels).mean()
    assert abs(accuracy - 0.5) < 4 * np.sqrt(0.25 / 400)


def _with_strangers(copies=1):
    """Scans of digits, and checkerboards, which share nothing with them or with each other."""
    features = load_digits().data[:600] / 8.0
    odd = (np.indices((8, 8)).sum(axis=0) % 2).ravel() * 3.0
    strangers = np.stack([odd, 3.0 - odd, np.roll(odd, 1) * np.linspace(0, 2, 64)])
    return np.concatenate([features, np.repeat(strangers, copies, axis=0)])


def test_strangers_are_outliers_and_digits_are_not():
    features = _with_strangers()
    found = find_outliers(features)
    assert set(found) >= {600, 601, 602}
    assert len(found) <= 6
    assert len(find_outliers(features[:600])) <= 3


def test_a_stranger_in_several_copies_is_still_an_outlier():
    features = _with_strangers(copies=8)
    groups = np.concatenate([np.arange(600), np.repeat([600, 601, 602], 8)])
    assert set(range(600, 624)) <= set(find_outliers(features, groups))
