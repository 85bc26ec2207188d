"""On request a copy with random weights is trained for as long, and the verdict tells of it."""

import keras
import numpy as np

import tftune


def _tiny_backbone():
    image = keras.Input((32, 32, 3))
    features = image
    for filters in (8, 16):
        features = keras.layers.Conv2D(filters, 3, strides=2, use_bias=False)(features)
        features = keras.layers.BatchNormalization()(features)
        features = keras.layers.ReLU()(features)
    return keras.Model(image, features, name="tiny")


def test_the_verdict_says_whether_transfer_was_negative(stripes):
    model = tftune.build_image_classifier(_tiny_backbone(), stripes, preprocessing="unit")
    head = tftune.Phase("feature_extraction", "none", 1, 1e-3, 6, start_from_probe=True)
    plan = tftune.Plan((head, tftune.Phase("fine_tuning", 1, 1, 1e-3, 6)))
    run = tftune.fine_tune(model, stripes, plan, verbose=False, from_scratch=True)
    assert list(run.verdict.scores)[-1] == "from scratch"
    assert "from scratch the same budget gave" in run.verdict.sentence
    assert "Transfer was" in run.verdict.sentence
    assert set(run.history["phase"]) == {"feature_extraction", "fine_tuning"}
    # The copy is another network: what was trained before it is untouched, and still evaluates so.
    again = tftune.evaluate(model, stripes.validation)
    assert np.isclose(
        again.metrics["loss"], run.validation["fine_tuning"].metrics["loss"], rtol=1e-4
    )
