"""Losses equal their formulas, written out in NumPy, and skip what is unknown."""

import keras
import numpy as np
import pytest

from tftune.config.model_spec import HeadSpec
from tftune.errors import ConfigError
from tftune.training.losses import head_loss, head_metric

CLASSES = HeadSpec("kind", "multiclass", ("a", "b", "c"), "logits", "probabilities")
LABELS = HeadSpec("traits", "multilabel", ("a", "b", "c"), "logits", "probabilities")
VALUES = HeadSpec("size", "regression", ("x", "y"), "logits", "values", (10.0, 0.0), (2.0, 1.0))


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(0, 2, (6, 3)).astype(np.float32)


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def test_multiclass_is_keras_own_cross_entropy(logits):
    labels = np.array([0, 1, 2, 2, 1, 0])
    expected = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, logits)
    assert float(head_loss(CLASSES)(labels, logits)) == float(expected)


def test_unknown_classes_count_nothing(logits):
    labels = np.array([0, -1, 2, -1, 1, 0])
    known = labels >= 0
    expected = head_loss(CLASSES)(labels[known], logits[known])
    assert float(head_loss(CLASSES)(labels, logits)) == pytest.approx(float(expected), rel=1e-6)
    assert float(head_loss(CLASSES)(np.full(6, -1), logits)) == 0


def test_label_smoothing_spreads_a_share_over_all_classes(logits):
    labels = np.array([0, 1, 2, 2, 1, 0])
    targets = np.eye(3)[labels] * 0.9 + 0.1 / 3
    expected = -(targets * log_softmax(logits)).sum(axis=1).mean()
    assert float(head_loss(CLASSES, label_smoothing=0.1)(labels, logits)) == pytest.approx(
        expected, rel=1e-5
    )


def test_focal_loss_and_class_weights_follow_their_formulas(logits):
    labels = np.array([0, 1, 2, 2, 1, 0])
    weights = (1.0, 2.0, 0.5)
    log_p = log_softmax(logits)[np.arange(6), labels]
    expected = (np.array(weights)[labels] * (1 - np.exp(log_p)) ** 2 * -log_p).mean()
    loss = head_loss(CLASSES, focal_gamma=2.0, class_weights=weights)
    assert float(loss(labels, logits)) == pytest.approx(expected, rel=1e-5)


def test_multilabel_is_keras_own_binary_cross_entropy(logits):
    labels = (np.random.default_rng(1).random((6, 3)) > 0.5).astype(np.float32)
    for smoothing in (0.0, 0.2):
        expected = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing)
        received = head_loss(LABELS, label_smoothing=smoothing)(labels, logits)
        assert float(received) == pytest.approx(float(expected(labels, logits)), rel=1e-5)


@pytest.mark.parametrize("unknown", [np.nan, -1])
def test_unknown_yes_or_no_labels_count_nothing(logits, unknown):
    labels = np.ones((6, 3), np.float32)
    labels[0] = unknown
    labels[3, 1] = unknown
    per_entry = np.log1p(np.exp(-logits))
    expected = per_entry[labels == 1].mean()
    assert float(head_loss(LABELS)(labels, logits)) == pytest.approx(expected, rel=1e-5)


def test_multilabel_class_weights_weigh_the_yes(logits):
    labels = (np.random.default_rng(1).random((6, 3)) > 0.5).astype(np.float32)
    weights = np.array([1.0, 3.0, 0.5])
    yes, no = np.log1p(np.exp(-logits)), np.log1p(np.exp(logits))
    expected = (labels * weights * yes + (1 - labels) * no).mean()
    received = head_loss(LABELS, class_weights=weights.tolist())(labels, logits)
    assert float(received) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "formula"),
    [
        ("squared_error", lambda e: e**2),
        ("huber", lambda e: np.where(np.abs(e) <= 1, e**2 / 2, np.abs(e) - 0.5)),
    ],
)
def test_regression_compares_scaled_values_and_skips_the_unknown(kind, formula):
    values = np.array([[12.0, 3.0], [np.nan, 1.0], [4.0, np.nan]], np.float32)
    logits = np.array([[0.5, 0.0], [9.0, 1.5], [-1.0, 9.0]], np.float32)
    scaled = (values - [10.0, 0.0]) / [2.0, 1.0]
    expected = np.nanmean(formula(logits - scaled))
    received = head_loss(VALUES, regression=kind)(values, logits)
    assert float(received) == pytest.approx(expected, rel=1e-6)


def test_gradients_are_finite_where_labels_are_unknown():
    import tensorflow as tf

    for head, labels, options in (
        (VALUES, [[np.nan, 1.0], [np.nan, np.nan]], {}),
        (LABELS, [[np.nan, 1.0, 0.0]] * 2, {"focal_gamma": 0.5}),
        (CLASSES, [-1, 0], {"focal_gamma": 0.5}),
    ):
        logits = tf.Variable(np.full((2, len(head.class_names)), 50.0, np.float32))
        with tf.GradientTape() as tape:
            loss = head_loss(head, **options)(np.array(labels), logits)
        assert np.isfinite(tape.gradient(loss, logits).numpy()).all()


def test_the_figure_beside_the_loss_is_the_share_of_known_labels_that_are_right(logits):
    best = logits.argmax(axis=1)
    labels = best.copy()
    labels[0] = (labels[0] + 1) % 3
    labels[1] = -1
    metric = head_metric(CLASSES)
    metric.update_state(labels, logits)
    assert float(metric.result()) == pytest.approx(4 / 5)
    metric = head_metric(LABELS)
    metric.update_state((logits > 0).astype(np.float32), logits)
    assert float(metric.result()) == 1


@pytest.mark.parametrize(
    ("head", "options", "sentence"),
    [
        (CLASSES, {"label_smoothing": 1.0}, r"`label_smoothing` must be in \[0, 1\)"),
        (CLASSES, {"focal_gamma": -1}, "`focal_gamma` must be at least 0"),
        (CLASSES, {"class_weights": [1.0]}, "one weight for each of 3 classes"),
        (VALUES, {"focal_gamma": 2.0}, "is for classes"),
        (VALUES, {"regression": "log"}, "'squared_error', 'huber'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(head, options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        head_loss(head, **options)


def test_a_blended_example_costs_what_its_parts_cost_by_their_shares():
    settings = {"label_smoothing": 0.1, "focal_gamma": 2.0, "class_weights": [1.0, 3.0, 0.5]}
    loss = head_loss(CLASSES, **settings)
    logits = np.random.default_rng(0).normal(0, 2, (1, 3)).astype("float32")
    parts = [float(loss(np.array([label]), logits)) for label in (0, 1)]
    blended = float(loss(np.array([[0.7, 0.3, 0.0]], np.float32), logits))
    assert blended == pytest.approx(0.7 * parts[0] + 0.3 * parts[1], rel=1e-5)
