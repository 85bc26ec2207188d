"""Losses and weights against what scikit-learn and a formula give."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from tftune.config.model_spec import HeadSpec
from tftune.config.phase import Phase
from tftune.data.dataset import Split
from tftune.data.image_files import ImageFiles
from tftune.errors import ConfigError
from tftune.training.losses import head_loss
from tftune.training.objective import class_weights, training_loss

HEAD = HeadSpec("label", "multiclass", ("a", "b", "c"), "logits", "probabilities")


def _phase(**changes):
    return Phase("fine_tuning", 1, 1, 0.1, **changes)


def _split(labels):
    paths = tuple(f"{index}.png" for index in range(len(labels)))
    return Split.of_classes("train", ImageFiles(paths), labels, ("a", "b", "c"))


def test_balanced_weights_are_scikit_learns():
    labels = np.array([0, 0, 0, 1, 2, 2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    found = class_weights(_phase(class_weights="balanced"), _split(labels))
    assert found == pytest.approx(expected)


def test_weights_by_name_default_to_one_and_must_name_classes():
    split = _split([0, 1, 2])
    phase = _phase(class_weights={"b": 4.0})
    assert class_weights(phase, split) == [1.0, 4.0, 1.0]
    with pytest.raises(ConfigError, match="must name classes"):
        class_weights(_phase(class_weights={"d": 4.0}), split)


def test_a_smoothed_and_weighted_phase_gives_the_heads_own_loss():
    logits = np.random.default_rng(0).normal(0, 3, (6, 3)).astype("float32")
    labels = np.array([0, 0, 0, 1, 2, 2])
    phase = _phase(label_smoothing=0.2, class_weights={"b": 2.0})
    expected = head_loss(HEAD, label_smoothing=0.2, class_weights=[1.0, 2.0, 1.0])(labels, logits)
    assert float(training_loss(HEAD, phase, _split(labels))(labels, logits)) == float(expected)
