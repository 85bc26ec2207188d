"""Schedules start above zero, peak at the phase's rate and end near zero."""

import numpy as np

from tftune.config import Phase
from tftune.training.optimizer import build_optimizer, learning_rate_schedule


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
