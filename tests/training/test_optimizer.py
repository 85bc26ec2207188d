"""Schedules start above zero, peak at the phase's rate and end near zero."""

import gc

import keras
import numpy as np
import pytest
import tensorflow as tf

from tftune.config.phase import OPTIMIZERS, Phase
from tftune.errors import ConfigError
from tftune.training.optimizer import build_optimizer, check_optimizers, step_scales
from tftune.training.schedules import ReduceOnPlateau, learning_rate_schedule


def test_warm_up_rises_to_the_peak_and_the_cosine_falls_to_zero():
    phase = Phase("fine_tuning", 1, epochs=10, learning_rate=0.1)
    schedule = learning_rate_schedule(phase, steps_per_epoch=10)
    rates = np.array([float(schedule(step)) for step in range(101)])
    assert rates[0] > 0
    assert rates.max() == np.float32(0.1)
    assert rates.argmax() == 10
    assert (np.diff(rates[:11]) > 0).all()
    assert (np.diff(rates[10:]) < 0).all()
    assert rates[100] < 1e-6


def test_each_optimizer_carries_the_phases_weight_decay():
    for name in ("adamw", "adam", "sgd"):
        phase = Phase("fine_tuning", 1, 1, 0.1, optimizer=name, weight_decay=0.03)
        assert build_optimizer(phase, 5).weight_decay == 0.03


def _dense_pair():
    """A network of two layers, one above the other."""
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(5, name="below", activation="tanh")(inputs)
    return keras.Model(inputs, keras.layers.Dense(3, name="above")(hidden))


def _moved_by_one_step(phase, **settings):
    """Return how far each variable moved, on the same gradients every time."""
    keras.utils.set_random_seed(3)
    network = _dense_pair()
    optimizer = build_optimizer(phase, 5, **settings)
    generator = np.random.default_rng(0)
    before = [v.numpy() for v in network.trainable_variables]
    gradients = [generator.normal(0, 1, v.shape).astype("float32") for v in before]
    optimizer.apply(gradients, network.trainable_variables)
    return {v.path: v.numpy() - old for v, old in zip(network.weights, before, strict=True)}


def _trains(name):
    try:
        check_optimizers([Phase("fine_tuning", 1, 1, 0.01, optimizer=name)])
    except ConfigError:
        return False
    return True


def test_muon_is_refused_where_keras_cannot_train_with_it(monkeypatch):
    muon = Phase("fine_tuning", 1, 1, 0.01, optimizer="muon")
    monkeypatch.setattr(keras, "__version__", "3.12.4")
    with pytest.raises(ConfigError, match='3.13 on. Upgrade Keras or take optimizer="adamw"'):
        check_optimizers([Phase("fine_tuning", 1, 1, 0.01), muon])
    check_optimizers([Phase("fine_tuning", 1, 1, 0.01)])
    monkeypatch.setattr(keras, "__version__", "3.13.0")
    check_optimizers([muon])


@pytest.mark.parametrize("name", [*filter(_trains, OPTIMIZERS)])
def test_a_variable_moves_its_scale_times_the_step_of_every_optimizer(name):
    """Adam divides by the gradient's size, so scaling gradients would leave the step as it is."""
    phase = Phase("fine_tuning", 1, 1, 0.01, optimizer=name, schedule="constant", weight_decay=0.1)
    paths = ["below/kernel", "below/bias", "above/kernel", "above/bias"]
    plain = _moved_by_one_step(phase)
    scaled = _moved_by_one_step(
        phase, scales={path: 0.25 if path.startswith("below") else 1.0 for path in paths}
    )
    for path in paths:
        factor = 0.25 if path.startswith("below") else 1.0
        if name == "ftrl" or (name == "adafactor" and path.endswith("kernel")):
            # Their steps depend on the variable or on its rate in other ways than a product.
            assert np.abs(scaled[path]).sum() <= np.abs(plain[path]).sum() * (1 + 1e-6)
            continue
        # A float32 weight of size 1 is rounded to 6e-8, twice, under a step of about 0.01.
        np.testing.assert_allclose(scaled[path], factor * plain[path], rtol=1e-3, atol=3e-7)


def test_scales_fall_by_the_decay_with_every_stage_below_the_head(small_model):
    phase = Phase("fine_tuning", 3, 1, 0.01, layer_decay=0.5)
    scales = step_scales(small_model, phase)
    stages = small_model.stages
    assert scales["logits/kernel"] == 1
    for below, stage in enumerate(reversed(stages[-3:]), 1):
        layers = {w.path for w in small_model.keras_model.weights}
        paths = [p for p in layers if p.split("/")[0] in stage.layers]
        assert {scales[path] for path in paths} == {0.5**below}


def test_a_variable_without_a_scale_is_refused():
    phase = Phase("fine_tuning", 1, 1, 0.01)
    with pytest.raises(ConfigError, match="Missing"):
        _moved_by_one_step(phase, scales={"above/kernel": 1.0})


def test_weight_decay_follows_the_variables_own_rate_and_the_pull_goes_to_the_anchor():
    """Without gradients only decay and pull move: w - rate * (decay * w + pull * (w - anchor))."""
    phase = Phase("fine_tuning", 1, 1, 0.1, schedule="constant", weight_decay=0.3, l2_sp=0.5)
    network = _dense_pair()
    before = {v.path: v.numpy() for v in network.weights}
    anchor = np.full((4, 5), 2.0, "float32")
    scales = dict.fromkeys(before, 0.5)
    optimizer = build_optimizer(
        phase.replace(optimizer="adam"), 5, scales, {"below/kernel": anchor}
    )
    optimizer.apply([np.zeros_like(v) for v in before.values()], network.trainable_variables)
    old = before["below/kernel"]
    decayed = old - 0.05 * 0.3 * old
    expected = decayed - 0.05 * 0.5 * (decayed - anchor)
    np.testing.assert_allclose(network.get_layer("below").kernel.numpy(), expected, rtol=1e-6)


def test_a_keras_config_chooses_the_optimizer_and_nonsense_in_it_is_refused():
    config = {"class_name": "SGD", "config": {"nesterov": True, "learning_rate": 7}}
    phase = Phase("fine_tuning", 1, 1, 0.1, schedule="constant", optimizer=config)
    optimizer = build_optimizer(phase, 5)
    assert optimizer.nesterov
    assert float(optimizer.learning_rate) == np.float32(0.1)
    with pytest.raises(ConfigError, match="not accepted"):
        build_optimizer(phase.replace(optimizer={"class_name": "sgd", "config": {"no": 1}}), 5)


def test_one_cycle_peaks_once_and_ends_far_below_its_start():
    phase = Phase("fine_tuning", 1, epochs=10, learning_rate=0.1, schedule="one_cycle")
    schedule = learning_rate_schedule(phase, steps_per_epoch=10)
    rates = np.array([float(schedule(step)) for step in range(101)])
    assert rates.argmax() == 30
    np.testing.assert_allclose(rates[[0, 30, 100]], [0.1 / 25, 0.1, 1e-5], rtol=1e-3)


def test_a_plateau_divides_the_rate_by_three():
    phase = Phase("fine_tuning", 1, 9, 0.3, schedule="reduce_on_plateau")
    network = _dense_pair()
    network.compile(build_optimizer(phase, 1), "mse")
    callback = ReduceOnPlateau(lowest=1.0)
    callback.set_model(network)
    for loss in (0.9, 0.95, 0.9, 0.8):
        callback.on_epoch_end(0, {"val_loss": loss})
    assert float(network.optimizer.learning_rate) == pytest.approx(0.1)


def test_a_traced_step_is_freed_with_its_optimizer():
    def graphs():
        gc.collect()
        return sum(isinstance(o, tf.Graph) for o in gc.get_objects())

    def step():
        network = _dense_pair()
        optimizer = build_optimizer(Phase("fine_tuning", 1, 1, 0.1), 5)
        optimizer.build(network.trainable_variables)
        gradients = [tf.ones(v.shape) for v in network.trainable_variables]
        tf.function(lambda: optimizer.apply(gradients, network.trainable_variables))()

    step()
    before = graphs()
    for _ in range(3):
        step()
    assert graphs() == before
