"""A plan says what it will take: engine, time and space, before anything runs."""

import dataclasses

import numpy as np
import pytest

import tftune
from tftune.cache.trunk_pass import boundary_activations
from tftune.training import estimate
from tftune.training.estimate import estimate_costs, expected_steps, scratch_seconds
from tftune.training.run_directory import begin_run


@pytest.fixture
def two_phases():
    head = tftune.Phase("feature_extraction", "none", 2, 1e-3, 6)
    return tftune.Plan((head, tftune.Phase("fine_tuning", "block7", 2, 1e-3, 6)))


def test_space_is_that_of_the_rows_that_are_missing(small_model, stripes, two_phases):
    head, top = estimate_costs(small_model, stripes, two_phases)
    assert (head.boundary, head.rows, head.cached) == ("pooled", 21, 0)
    assert head.cache_bytes == 21 * 1280 * 4
    assert (top.boundary, top.cache_bytes) == ("block6d_add", 21 * 1 * 1 * 192 * 4)
    assert head.engine == "tensorflow"
    assert "too few" in head.reason


def test_what_is_in_the_cache_costs_nothing(small_model, stripes, two_phases):
    trunk, _ = small_model.cut("pooled")
    boundary_activations(trunk, stripes.train.examples)
    partly, _ = estimate_costs(small_model, stripes, two_phases)
    assert (partly.rows, partly.cached) == (3, 18)
    boundary_activations(trunk, stripes.validation.examples)
    wholly, _ = estimate_costs(small_model, stripes, two_phases)
    assert (wholly.rows, wholly.engine, wholly.cache_bytes) == (0, "", 0)
    assert wholly.pass_seconds == 0


def test_views_and_repeated_boundaries_are_counted_once_each(small_model, stripes):
    phases = [tftune.Phase("fine_tuning", "block7", epochs, 1e-3) for epochs in (2, 3)]
    plan = tftune.Plan(tuple(phases), augment="light", views=3)
    first, second = estimate_costs(small_model, stripes, plan)
    # Two epochs see the images and one view; the third epoch of the next phase sees another.
    assert (first.rows, second.rows) == (21 + 18, 18)


def test_without_a_cache_the_whole_network_is_paid_for_in_every_epoch(
    small_model, stripes, two_phases
):
    cached = estimate_costs(small_model, stripes, two_phases)
    online = estimate_costs(small_model, stripes, two_phases.replace(cache="off"))
    assert online[0].boundary == ""
    assert online[0].cache_bytes == 0
    assert all(b.train_seconds > a.train_seconds for a, b in zip(cached, online, strict=True))


def test_the_speed_is_measured_only_where_there_is_much_to_do(
    small_model, stripes, two_phases, monkeypatch
):
    measured = []
    monkeypatch.setattr(estimate._Speed, "measure", lambda self: measured.append(self))
    estimate_costs(small_model, stripes, two_phases)
    assert not measured
    monkeypatch.setattr(estimate, "SLOW_FLOPS_A_SECOND", 1.0)
    estimate_costs(small_model, stripes, two_phases)
    assert len(measured) == 1


def test_a_measured_speed_is_that_of_this_machine(small_model, stripes):
    speed = estimate._Speed(small_model, stripes)
    speed.measure()
    # Eight million operations and a tiny PNG: far below a second on anything that runs TensorFlow.
    assert 0 < speed.forward_seconds < 1
    assert 0 < speed.read_seconds < 1


def test_the_plan_shows_it_and_leaves_it_out_when_asked(small_model, stripes):
    plan = tftune.plan(small_model, stripes)
    assert "What it will take" in str(plan)
    assert "In all about" in str(plan)
    assert tftune.Plan.from_json(plan.to_json()) == plan
    assert tftune.plan(small_model, stripes, estimate=False).costs == ()
    gradual = tftune.plans.gradual(small_model, stripes, steps=2)
    assert len(gradual.costs) == len(gradual.phases) == 3


def test_repeated_examples_are_paid_for(small_model, stripes, two_phases):
    rare = np.flatnonzero(stripes.train.labels == 0)[:1]
    others = np.flatnonzero(stripes.train.labels != 0)
    train = stripes.train.take(np.concatenate([rare, others]))
    data = dataclasses.replace(stripes, train=train)
    phases = [phase.replace(epochs=200) for phase in two_phases.phases]
    seconds = [
        estimate_costs(small_model, data, tftune.Plan([p.replace(oversample=on) for p in phases]))
        for on in (False, True)
    ]
    # 13 examples become 18.
    assert seconds[1][1].train_seconds > seconds[0][1].train_seconds


def test_training_from_scratch_costs_more_than_the_run(small_model, stripes, two_phases):
    costs = estimate_costs(small_model, stripes, two_phases.replace(cache="off"))
    assert scratch_seconds(small_model, stripes, two_phases) > costs[1].train_seconds


def test_another_estimate_does_not_keep_a_run_from_continuing(
    small_model, stripes, tmp_path, two_phases
):
    plan = two_phases.replace(costs=estimate_costs(small_model, stripes, two_phases))
    first = begin_run(tmp_path / "run", False, plan, {})
    assert begin_run(tmp_path / "run", False, two_phases, {}) == first


def test_every_step_that_a_run_shows_was_expected(small_model, stripes, two_phases, capsys):
    head = two_phases.phases[0]
    plan = tftune.Plan((head, head), augment="light", views=2)
    costs = estimate_costs(small_model, stripes, plan)
    tftune.fine_tune(small_model, stripes, plan.replace(costs=costs))
    shown = {line.split(":")[0] for line in capsys.readouterr().err.splitlines() if ":" in line}
    assert shown == set(expected_steps(plan, costs, stripes))
