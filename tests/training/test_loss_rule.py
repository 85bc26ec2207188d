"""The plan's losses follow how the training labels are spread, and say so."""

import keras
import numpy as np
import pytest

import tftune
from tftune.builders.heads import head_specs
from tftune.data.image_files import ImageFiles
from tftune.data.targets import Target
from tftune.errors import ConfigError
from tftune.training.loss_rule import choose_losses
from tftune.training.objective import repeated_target
from tftune.training.probe import fit_probe
from tftune.training.ridge_probe import fit_ridge


def _choose(*targets, imbalance="auto"):
    count = len(targets[0])
    examples = ImageFiles(tuple(f"{index}.png" for index in range(count)))
    return choose_losses(head_specs(targets), tftune.Split("train", examples, targets), imbalance)


def _classes(*counts, name="label"):
    names = tuple("abcdef"[: len(counts)])
    return Target(name, "multiclass", names, np.repeat(np.arange(len(counts)), counts))


def _values(values, name="size"):
    return Target(name, "regression", (name,), np.array(values, np.float32)[:, None])


def test_classes_are_weighed_where_the_largest_has_more_than_ten_times_the_smallest():
    assert _choose(_classes(20, 2)) == ({}, {})
    settings, reasons = _choose(_classes(21, 2))
    assert settings == {"class_weights": "square_root"}
    assert "'a' has 21 examples and 'b' 2" in reasons["class weights"]
    assert "Buda" in reasons["class weights"]
    assert _choose(_classes(21, 2), imbalance="none") == ({}, {})


def test_a_class_without_examples_does_not_count_as_the_smallest():
    settings, reasons = _choose(_classes(30, 0, 2))
    assert settings and "'c' 2" in reasons["class weights"]


def test_of_several_heads_those_that_need_it_are_weighed():
    settings, _ = _choose(_classes(21, 2, name="x"), _classes(11, 12, name="y"))
    assert settings == {"class_weights": {"x": "square_root"}}


def test_values_far_from_all_others_take_hubers_loss():
    values = np.linspace(-1, 1, 50)
    assert _choose(_values(values)) == ({}, {})
    settings, reasons = _choose(_values([*values, 40.0]))
    assert settings == {"regression_loss": "huber"}
    assert "'size'" in reasons["regression loss"]
    # Mostly equal values say nothing about how far is far.
    assert _choose(_values([0.0] * 50 + [1.0])) == ({}, {})


@pytest.mark.parametrize(
    ("asked", "settings"),
    [
        ("class_weights", {"class_weights": "balanced"}),
        ("oversample", {"oversample": True}),
        ("focal", {"focal_gamma": 2.0}),
    ],
)
def test_what_is_asked_for_is_done_however_classes_are_spread(asked, settings):
    found, reasons = _choose(_classes(5, 5), imbalance=asked)
    assert found == settings
    assert "as asked" in reasons["imbalance"]


def test_what_does_not_fit_the_heads_is_refused():
    with pytest.raises(ConfigError, match="is for classes"):
        _choose(_values([1, 2]), imbalance="focal")
    with pytest.raises(ConfigError, match="needs one head"):
        _choose(_classes(1, 1, name="x"), _classes(1, 1, name="y"), imbalance="oversample")
    with pytest.raises(ConfigError, match="'class_weights'"):
        _choose(_classes(1, 1), imbalance="class weights")


@pytest.fixture(scope="module")
def uneven(stripes):
    """Six images of one class, two of another, one of the third."""
    rows = [np.flatnonzero(stripes.train.labels == label) for label in range(3)]
    train = stripes.train.take(np.concatenate([rows[0][:6], rows[1][:2], rows[2][:1]]))
    return tftune.Dataset(train, stripes.validation, stripes.test)


def test_a_phase_shows_rare_classes_as_often_as_the_largest(uneven, small_model):
    seen = []
    settings = {"batch_size": 4, "oversample": True}
    plan = tftune.Plan((tftune.Phase("feature_extraction", "none", 2, 1e-3, **settings),))
    callback = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(batch)
    )
    run = tftune.fine_tune(small_model, uneven, plan, verbose=False, callbacks=lambda: [callback])
    # Three classes of six are 18 examples an epoch.
    assert seen == [0, 1, 2, 3, 4] * 2
    assert len(run.history) == 2


def test_the_plan_carries_its_choice_and_prints_the_reason(uneven, small_model):
    plan = tftune.plan(small_model, uneven, imbalance="class_weights", estimate=False)
    assert [phase.class_weights for phase in plan.phases] == ["balanced", "balanced"]
    assert "imbalance: balanced class weights, as asked" in " ".join(str(plan).split())


def test_oversampling_several_labels_is_refused_before_training(uneven):
    target = uneven.train.targets[0]
    labels = np.zeros((len(target), 2), np.float32)
    other = Target("label", "multilabel", ("x", "y"), labels)
    split = tftune.Split("train", uneven.train.examples, (other,))
    phase = tftune.Phase("feature_extraction", "none", 1, 1e-3, oversample=True)
    with pytest.raises(ConfigError, match="one class an example"):
        repeated_target(phase, split)


def test_a_weighed_probe_answers_rare_classes_more_often():
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], [180, 20])
    features = generator.normal(0, 1, (200, 3)) + labels[:, None]
    weights = [200 / 360, 200 / 40]
    plain = fit_probe(features, labels, features, labels, 2)
    weighed = fit_probe(features, labels, features, labels, 2, weights)
    recall = [(p.logits(features)[labels == 1].argmax(1) == 1).mean() for p in (plain, weighed)]
    assert recall[1] > recall[0]


def test_a_ridge_finds_quantities_and_bears_unknown_ones():
    generator = np.random.default_rng(0)
    features = generator.normal(0, 1, (60, 5)).astype(np.float32)
    kernel = generator.normal(0, 1, (5, 2))
    values = features @ kernel + [1.0, -2.0]
    values[::3, 1] = np.nan
    values = np.concatenate([values, np.full((60, 1), np.nan), np.full((60, 1), np.nan)], axis=1)
    values[7, 3] = 5.0
    found, bias = fit_ridge(features, values)
    np.testing.assert_allclose(found[:, :2], kernel, atol=1e-2)
    np.testing.assert_allclose(bias, [1.0, -2.0, 0.0, 5.0], atol=1e-2)
