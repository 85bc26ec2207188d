"""Losses and weights against what scikit-learn and a formula give."""

import keras
import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from tftune.config.model_spec import HeadSpec
from tftune.config.phase import Phase
from tftune.data.dataset import Split
from tftune.data.image_files import ImageFiles
from tftune.data.targets import Target
from tftune.errors import ConfigError
from tftune.training.losses import head_loss
from tftune.training.objective import class_weights, plain_objective, training_objective

HEAD = HeadSpec("label", "multiclass", ("a", "b", "c"), "logits", "probabilities")


def _phase(**changes):
    return Phase("fine_tuning", 1, 1, 0.1, **changes)


def _split(labels):
    paths = tuple(f"{index}.png" for index in range(len(labels)))
    return Split.of_classes("train", ImageFiles(paths), labels, ("a", "b", "c"))


def test_balanced_weights_are_scikit_learns():
    labels = np.array([0, 0, 0, 1, 2, 2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    found = class_weights(_phase(class_weights="balanced"), _split(labels).targets[0])
    assert found == pytest.approx(expected)


def test_square_root_weights_soften_every_task():
    softened = _phase(class_weights="square_root")
    found = class_weights(softened, _split([0] * 9 + [1]).targets[0])
    assert found[1] / found[0] == pytest.approx(3)
    labels = np.array([[1], [0], [0], [0], [0]], np.float32)
    assert class_weights(softened, Target("tags", "multilabel", ("x",), labels)) == [2.0]


def test_weights_by_name_default_to_one_and_must_name_classes():
    target = _split([0, 1, 2]).targets[0]
    phase = _phase(class_weights={"b": 4.0})
    assert class_weights(phase, target) == [1.0, 4.0, 1.0]
    with pytest.raises(ConfigError, match="must name classes"):
        class_weights(_phase(class_weights={"d": 4.0}), target)


def test_a_smoothed_and_weighted_phase_gives_the_heads_own_loss():
    logits = np.random.default_rng(0).normal(0, 3, (6, 3)).astype("float32")
    labels = np.array([0, 0, 0, 1, 2, 2])
    phase = _phase(label_smoothing=0.2, class_weights={"b": 2.0})
    expected = head_loss(HEAD, label_smoothing=0.2, class_weights=[1.0, 2.0, 1.0])(labels, logits)
    objective = training_objective([HEAD], phase, _split(labels))
    assert objective.value(labels, logits) == float(expected)


KIND = HeadSpec("kind", "multiclass", ("a", "b"), "kind_logits", "kind_probabilities")
SIZE = HeadSpec("size", "regression", ("cm",), "size_logits", "size_values", (10.0,), (2.0,))
LABELS = {
    "kind": np.array([0, 0, 0, 1, -1, 1]),
    "size": np.array([[8.0], [10], [12], [np.nan], [14], [10]], np.float32),
}


def _two_targets():
    examples = ImageFiles(tuple(f"{index}.png" for index in range(6)))
    kind = Target("kind", "multiclass", ("a", "b"), LABELS["kind"])
    return Split("train", examples, (kind, Target("size", "regression", ("cm",), LABELS["size"])))


def _two_logits():
    generator = np.random.default_rng(0)
    return {
        name: generator.normal(0, 2, (6, width)).astype("float32")
        for name, width in (("kind", 2), ("size", 1))
    }


def test_the_losses_of_several_heads_are_weighted_and_summed():
    logits = _two_logits()
    phase = _phase(
        head_weights={"size": 0.25},
        class_weights={"kind": "balanced"},
        label_smoothing=0.1,
        regression_loss="huber",
    )
    objective = training_objective([KIND, SIZE], phase, _two_targets())
    # Of five known kinds three are "a": 5 / (2 * 3) and 5 / (2 * 2).
    kind = head_loss(KIND, label_smoothing=0.1, class_weights=[5 / 6, 5 / 4])
    size = head_loss(SIZE, regression="huber")
    expected = float(kind(LABELS["kind"], logits["kind"]))
    expected += 0.25 * float(size(LABELS["size"], logits["size"]))
    assert objective.value(LABELS, logits) == pytest.approx(expected, rel=1e-6)


def test_the_loss_is_measured_step_by_step_as_keras_validates():
    logits = _two_logits()
    objective = plain_objective([KIND, SIZE], _phase(head_weights={"kind": 3.0}), _two_targets())
    inputs = {name: keras.Input((rows.shape[1],), name=name) for name, rows in logits.items()}
    network = keras.Model(inputs, {k: keras.layers.Identity()(v) for k, v in inputs.items()})
    objective.compile(network)
    expected = network.evaluate(logits, LABELS, batch_size=4, verbose=0, return_dict=True)
    assert objective.value(LABELS, logits, 4) == pytest.approx(expected["loss"], rel=1e-6)
    assert {"kind_accuracy", "size_error", "kind_loss", "size_loss"} < set(expected)
    # Figures beside the loss are exact, however unknown labels fall into steps.
    right = logits["kind"].argmax(axis=1) == LABELS["kind"]
    assert expected["kind_accuracy"] == pytest.approx(right[LABELS["kind"] >= 0].mean())


@pytest.mark.parametrize(
    "settings",
    [{"head_weights": {"siez": 1.0}}, {"class_weights": {"a": 2.0}}],
)
def test_settings_by_head_must_name_heads(settings):
    with pytest.raises(ConfigError, match="must name heads of the model"):
        training_objective([KIND, SIZE], _phase(**settings), _two_targets())


def test_weights_are_not_negative_however_deep_they_are_given():
    with pytest.raises(ConfigError, match="`class_weights` must be at least 0"):
        _phase(class_weights={"kind": {"a": -1.0}})
    with pytest.raises(ConfigError, match="`head_weights` must be at least 0"):
        _phase(head_weights={"kind": -1.0})
