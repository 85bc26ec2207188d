"""Linear CKA against what is known of it."""

import h5py
import numpy as np
import pytest
from scipy.special import softmax

import tftune
from tftune.builders.efficientnet_lite import efficientnet_lite0
from tftune.builders.imagenet_head import imagenet_classifier
from tftune.data.pipeline import image_batches
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


def test_the_original_classifier_is_asked_before_and_after(stripes):
    model = tftune.build_image_classifier("efficientnet_lite0", stripes, image_size=(64, 64))
    head = tftune.Phase("feature_extraction", "none", 0, 1e-3, start_from_probe=True)
    plan = tftune.Plan((head, tftune.Phase("fine_tuning", 1, 1, 1e-6, batch_size=6)))
    run = tftune.fine_tune(model, stripes, plan, verbose=False)
    assert run.forgetting.agreement == 1.0  # at such a rate nothing is forgotten
    assert "still says the same of 100%" in " ".join(str(run).split())


class TestTheOriginalClassifier:
    def test_it_gives_the_answers_of_the_network_with_its_top(self, pretrained_model, stripes):
        whole = efficientnet_lite0(input_shape=(64, 64, 3), include_top=True)
        kernel, bias = imagenet_classifier(pretrained_model)
        pixels = np.concatenate(
            list(image_batches(stripes.test.examples, pretrained_model.image_input))
        )
        trunk, _ = pretrained_model.cut("pooled")
        ours = np.asarray(trunk.forward(pixels)) @ kernel + bias
        expected = whole.predict((pixels - 127) / 128, verbose=0)
        np.testing.assert_allclose(softmax(ours, axis=1), expected, atol=1e-5)

    def test_random_weights_have_none(self, small_model):
        assert imagenet_classifier(small_model) is None

    def test_one_that_keras_downloaded_is_found(self, tmp_path, monkeypatch):
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        model = tftune.build_image_classifier(
            "mobilenet_v2", class_names=["a", "b"], image_size=(32, 32), weights=None
        )
        generator = np.random.default_rng(0)
        kernel, bias = generator.normal(size=(1280, 1000)), generator.normal(size=1000)
        first = next(w for w in model.backbone.weights if len(w.shape) == 4)
        (tmp_path / "models").mkdir()
        for name in ("mobilenet_v2_weights_1.0_224_no_top.h5", "mobilenet_v2_weights_1.0_224.h5"):
            assert imagenet_classifier(model) is None
            with h5py.File(tmp_path / "models" / name, "w") as file:
                file["Conv1/Conv1/kernel:0"] = first.numpy()
                if "top" not in name:
                    file["predictions/predictions/kernel:0"] = kernel
                    file["predictions/predictions/bias:0"] = bias
        np.testing.assert_array_equal(imagenet_classifier(model)[0], kernel)
