"""Linear CKA against what is known of it."""

import numpy as np
import pytest

import tftune
from tftune.training.forgetting import linear_cka


def test_rotation_and_scaling_do_not_count_as_forgetting():
    generator = np.random.default_rng(0)
    features = generator.normal(0, 1, (30, 8))
    rotation, _ = np.linalg.qr(generator.normal(0, 1, (8, 8)))
    assert linear_cka(features, 3 * features @ rotation + 5) == pytest.approx(1)


def test_it_equals_its_formula_on_features_and_is_low_for_unrelated_ones():
    generator = np.random.default_rng(0)
    x, y = generator.normal(0, 1, (2000, 4)), generator.normal(0, 1, (2000, 6))
    cx, cy = x - x.mean(0), y - y.mean(0)
    expected = np.linalg.norm(cy.T @ cx) ** 2
    expected /= np.linalg.norm(cx.T @ cx) * np.linalg.norm(cy.T @ cy)
    assert linear_cka(x, y) == pytest.approx(expected)
    assert linear_cka(x, y) < 0.02


def test_a_run_says_how_far_its_features_moved(small_model, stripes):
    head = tftune.Phase("feature_extraction", "none", 0, 1e-3, start_from_probe=True)
    top = tftune.Phase("fine_tuning", 1, 1, 1e-3, batch_size=6)
    run = tftune.fine_tune(small_model, stripes, tftune.Plan((head, top)), verbose=False)
    assert 0 < run.forgetting.similarity <= 1 + 1e-9
    assert "linear CKA" in str(run)
    alone = tftune.fine_tune(small_model, stripes, tftune.Plan((head,)), verbose=False)
    assert alone.forgetting is None
