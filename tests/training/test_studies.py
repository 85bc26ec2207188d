"""What is learned before training leaves the model as it was."""

import numpy as np
import pytest

import tftune
from tftune.errors import ConfigError


def test_finding_a_rate_leaves_weights_random_states_and_flags_untouched(small_model, stripes):
    small_model.set_trainable("block7")
    network = small_model.keras_model
    before = [np.array(v.numpy()) for v in network.variables]
    flags = [layer.trainable for layer in network.layers]
    found = tftune.find_learning_rate(
        small_model, stripes, unfreeze="none", steps=20, batch_size=6, verbose=False
    )
    for variable, value in zip(network.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert [layer.trainable for layer in network.layers] == flags
    assert found.rates[0] <= found.suggestion <= found.rates[-1]
    assert found.plot().axes[0].get_xscale() == "log"
    with pytest.raises(ConfigError, match="`low`"):
        tftune.find_learning_rate(small_model, stripes, low=1.0, high=0.1)


def test_backbones_are_ranked_by_a_linear_head_on_their_features(stripes):
    ranking = tftune.rank_backbones(
        stripes, ["efficientnet_lite0"], image_size=(64, 64), verbose=False
    )
    assert ranking.best == "efficientnet_lite0"
    assert ranking.scores[0].accuracy.value == 1.0
    assert "efficientnet_lite0" in str(ranking)
    with pytest.raises(ConfigError, match="at least one preset"):
        tftune.rank_backbones(stripes, [])


def test_cross_validation_judges_every_example_once(pretrained_model, stripes):
    result = tftune.cross_validate(pretrained_model, stripes, folds=3, verbose=False)
    count = len(stripes.train) + len(stripes.validation)
    assert result.probabilities.shape == (count, 3)
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, rtol=1e-5)
    assert len(result.fold_accuracy) == 3
    assert result.accuracy.value > 0.8
    assert "Cross-validation" in str(result)
    with pytest.raises(ConfigError, match="`folds`"):
        tftune.cross_validate(pretrained_model, stripes, folds=99)
