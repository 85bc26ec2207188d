"""Losses and weights against what scikit-learn and a formula give."""

import keras
import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from tftune.config import HeadSpec, Phase
from tftune.data.dataset import ImageFiles, Split
from tftune.errors import ConfigError
from tftune.training.objective import class_weight_table, training_loss

HEAD = HeadSpec("label", "multiclass", ("a", "b", "c"), "logits", "probabilities")


def _phase(**changes):
    return Phase("fine_tuning", 1, 1, 0.1, **changes)


def _split(labels):
    paths = tuple(f"{index}.png" for index in range(len(labels)))
    return Split.of_classes("train", ImageFiles(paths), labels, ("a", "b", "c"))


def test_smoothed_loss_equals_keras_categorical_loss_on_smoothed_labels():
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 3, (20, 3)).astype("float32")
    labels = generator.integers(0, 3, 20)
    expected = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2)(
        keras.ops.one_hot(labels, 3), logits
    )
    ours = training_loss(HEAD, _phase(label_smoothing=0.2))(labels, logits)
    assert float(ours) == pytest.approx(float(expected), rel=1e-6)


def test_balanced_weights_are_scikit_learns():
    labels = np.array([0, 0, 0, 1, 2, 2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    table = class_weight_table(_phase(class_weights="balanced"), _split(labels))
    assert list(table.values()) == pytest.approx(expected)


def test_weights_by_name_default_to_one_and_must_name_classes():
    split = _split([0, 1, 2])
    phase = _phase(class_weights={"b": 4.0})
    assert class_weight_table(phase, split) == {0: 1.0, 1: 4.0, 2: 1.0}
    with pytest.raises(ConfigError, match="must name classes"):
        class_weight_table(_phase(class_weights={"d": 4.0}), split)
