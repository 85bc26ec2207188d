"""The probe is scikit-learn's logistic regression, whatever coordinates it was fitted in."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tftune.training import probe as probes
from tftune.training.probe import fit_probe


@pytest.mark.parametrize("num_classes", [2, 4])
@pytest.mark.parametrize("num_features", [6, 90])
def test_the_probe_gives_the_probabilities_of_a_plain_regression(num_classes, num_features):
    generator = np.random.default_rng(0)
    labels = np.arange(60) % num_classes
    centres = generator.normal(0, 1, (num_classes, num_features))
    features = centres[labels] + generator.normal(0, 1, (60, num_features))
    probe = fit_probe(features, labels, features[:20], labels[:20], num_classes)
    plain = LogisticRegression(C=probe.regularisation, max_iter=5000, tol=1e-8)
    expected = plain.fit(features, labels).predict_proba(features)
    logits = probe.temperature * (features @ probe.kernel + probe.bias)
    softmax = np.exp(logits - logits.max(1, keepdims=True))
    softmax /= softmax.sum(1, keepdims=True)
    # Both solvers stop at a gradient of about 1e-4.
    np.testing.assert_allclose(softmax, expected, atol=5e-3)


def _separable(num_examples, num_features, num_classes, noise=1.0, seed=0):
    generator = np.random.default_rng(seed)
    labels = np.arange(num_examples) % num_classes
    centres = generator.normal(0, 1, (num_classes, num_features))
    return centres[labels] + generator.normal(0, noise, (num_examples, num_features)), labels


def test_several_labels_an_example_are_one_regression_each():
    features, labels = _separable(90, 7, 3)
    several = np.stack([labels == 0, labels != 1, labels == 2], axis=1).astype("float32")
    probe = fit_probe(features, several, features[:50], several[:50], 3)
    for column in range(3):
        plain = LogisticRegression(C=probe.regularisation, max_iter=5000, tol=1e-8)
        expected = plain.fit(features, several[:, column]).predict_proba(features)[:, 1]
        ours = 1 / (1 + np.exp(-probe.temperature * probe.logits(features)[:, column]))
        np.testing.assert_allclose(ours, expected, atol=5e-3)


def test_features_of_length_one_get_the_regularisation_that_is_right_most_often():
    """Weak regularisation is surer of what it says of them, and wrong more often."""
    features, labels = _separable(1200, 80, 8, noise=3.0)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    parts = [slice(0, 80), slice(80, 200), slice(200, 1200)]
    (train, validation, test) = [(features[part], labels[part]) for part in parts]
    probe = fit_probe(*train, *validation, 8)
    right = (probe.logits(test[0]).argmax(axis=1) == test[1]).mean()
    weak = LogisticRegression(C=100, max_iter=5000).fit(*train).score(*test)
    assert probe.regularisation <= 1 and probe.temperature < 1
    assert right >= weak


@pytest.mark.parametrize("num_validation", [4, 60])
def test_no_answer_is_surer_than_so_many_right_ones_can_show(num_validation):
    """Saturated logits have no gradient, so training could not begin from them."""
    features, labels = _separable(80, 30, 4, noise=0.01)
    held_out = features[:num_validation], labels[:num_validation]
    probe = fit_probe(features, labels, *held_out, 4)
    logits = probe.logits(features).astype(np.float32)
    softmax = np.exp(logits - logits.max(1, keepdims=True))
    softmax /= softmax.sum(1, keepdims=True)
    assert (softmax.argmax(axis=1) == labels).all()
    assert 0.5 < softmax.max(axis=1).mean() < 0.9999


def test_a_class_without_examples_is_never_chosen():
    features, labels = _separable(40, 5, 2)
    probe = fit_probe(features, labels * 2, features, labels * 2, 3)
    assert set(probe.logits(features).argmax(axis=1)) == {0, 2}


def test_three_validation_images_do_not_choose_the_regularisation():
    """They say C=100 whenever all three happen to be right; the training folds know better."""
    features, labels = _separable(60, 30, 3, noise=6.0)
    easy = features[:3] * 100
    probe = fit_probe(features, labels, easy, labels[:3], 3)
    assert probe.regularisation <= 0.1


@pytest.mark.slow
def test_twenty_thousand_features_of_1280_numbers_are_fitted():
    features, labels = _separable(20_000, 1280, 10, noise=8.0)
    features = features.astype("float32")
    probe = fit_probe(features[:18_000], labels[:18_000], features[18_000:], labels[18_000:], 10)
    assert probe.validation_accuracy > 0.9


def test_much_data_is_fitted_coarsely_and_ends_at_the_same_probe(monkeypatch):
    generator = np.random.default_rng(0)
    features = generator.normal(size=(900, 40)) * np.geomspace(1, 0.05, 40)
    labels = (features @ generator.normal(size=(40, 3)) + generator.gumbel(size=(900, 3))).argmax(1)
    arguments = features[:600], labels[:600], features[600:], labels[600:], 3
    exact = fit_probe(*arguments)
    monkeypatch.setattr(probes, "SMALL", 0)
    coarse = fit_probe(*arguments)
    assert coarse.regularisation == exact.regularisation
    assert not np.array_equal(coarse.kernel, exact.kernel)
    np.testing.assert_allclose(coarse.logits(features), exact.logits(features), atol=0.1)
