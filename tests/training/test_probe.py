"""The probe is scikit-learn's logistic regression, whatever coordinates it was fitted in."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

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
    logits = features @ probe.kernel + probe.bias
    softmax = np.exp(logits - logits.max(1, keepdims=True))
    softmax /= softmax.sum(1, keepdims=True)
    # Both solvers stop at a gradient of about 1e-4.
    np.testing.assert_allclose(softmax, expected, atol=5e-3)
