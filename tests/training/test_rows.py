"""Rows of a boundary are made from those at a lower one, where a plan needs both."""

import keras
import numpy as np
import pytest

import tftune
from tftune.cache import litert
from tftune.cache.store import ActivationStore
from tftune.cache.trunk_pass import boundary_activations
from tftune.progress import Progress
from tftune.training.rows import PlannedRows, boundary_beneath
from tftune.training.views import Views

LOWER = "block6d_add"


@pytest.fixture(scope="module")
def model(stripes):
    """EfficientNet-Lite0 with random weights at 32 pixels; tests must not train it."""
    keras.utils.set_random_seed(1)
    return tftune.build_image_classifier(
        "efficientnet_lite0", stripes, image_size=(32, 32), weights=None
    )


def _plan(*unfreeze, **settings):
    phases = [tftune.Phase("fine_tuning", part, 2, 1e-3) for part in ("none", *unfreeze)]
    return tftune.Plan(tuple(phases), **settings)


def _rows(model, plan, store):
    return PlannedRows(model, plan, Progress(False), store)


def _is_close(received, expected):
    # The same float32 sums, cut into two graphs; the bound is derived at `litert.TOLERANCE`.
    assert litert.relative_difference(np.asarray(expected), np.asarray(received)) <= 1e-5


def test_pooled_rows_equal_those_made_from_the_images(model, stripes, tmp_path):
    plan, pooled = _plan("block7"), model.cut("pooled")[0]
    made = _rows(model, plan, ActivationStore(tmp_path / "made")).of(stripes.train, "pooled")
    direct = boundary_activations(
        pooled, stripes.train.examples, store=ActivationStore(tmp_path / "direct")
    )
    _is_close(made, direct)


def test_the_lower_part_runs_once_for_all_phases(model, stripes, tmp_path):
    plan, store = _plan("block7", "block6"), ActivationStore(tmp_path)
    first = _rows(model, plan, store).of(stripes.train, "pooled")
    assert first.report.computed == 18
    for unfreeze in ("block7", "block6"):
        boundary = model.boundary_below(unfreeze)
        again = _rows(model, plan, store).of(stripes.train, boundary)
        assert (again.report.computed, again.report.reused) == (0, 18)


def test_rows_that_are_there_need_none_beneath(model, stripes, tmp_path):
    store = ActivationStore(tmp_path)
    boundary_activations(model.cut("pooled")[0], stripes.train.examples, store=store)
    _rows(model, _plan("block7"), store).of(stripes.train, "pooled")
    assert not store.trunk_folder(model.cut(LOWER)[0].fingerprint).exists()


def test_views_are_made_from_the_rows_of_the_same_view(model, stripes, tmp_path):
    plan = _plan("block7", augment="light", views=2)
    made = _rows(model, plan, ActivationStore(tmp_path / "made")).of(stripes.train, "pooled", 1)
    views = Views.of_plan(plan)
    direct = boundary_activations(
        model.cut("pooled")[0],
        stripes.train.examples,
        store=ActivationStore(tmp_path / "direct"),
        view=views.key(1),
        batches=views.batches(model.image_input, 1),
    )
    _is_close(made, direct)


def test_the_highest_boundary_beneath_that_is_kept_exactly_is_taken(model):
    plan = _plan("block7", "block6")
    assert boundary_beneath(model, plan, "pooled") == LOWER
    assert boundary_beneath(model, plan, LOWER) == model.boundary_below("block6")
    assert boundary_beneath(model, plan, model.boundary_below("block6")) is None
    assert boundary_beneath(model, plan.replace(cache_dtype="float16"), "pooled") is None
    assert boundary_beneath(model, _plan(), "pooled") is None
    assert boundary_beneath(model, _plan("all"), "pooled") is None


def test_where_the_lower_rows_do_not_fit_the_images_are_run(model, stripes, tmp_path):
    # Room for 18 rows of 1,280 numbers, not for 18 more of 192.
    store = ActivationStore(tmp_path, budget_bytes=18 * 1280 * 4 + 4000)
    rows = _rows(model, _plan("block4"), store).of(stripes.train, "pooled")
    assert rows.report.computed == 18


def test_what_runs_a_part_is_not_taken_for_what_runs_the_whole(pretrained_model, stripes, tmp_path):
    """Both convert, and keep the conversion for the same rows."""
    store = ActivationStore(tmp_path)
    lower = boundary_activations(
        pretrained_model.cut(LOWER)[0], stripes.train.examples.take(np.arange(9)), store=store
    )
    whole = pretrained_model.cut("pooled")[0]
    examples = stripes.train.examples
    first = boundary_activations(
        whole.above(LOWER),
        examples.take(np.arange(9)),
        store=store,
        batches=lambda chosen, size: iter([np.asarray(lower)]),
        engine="litert",
    )
    both = boundary_activations(whole, examples, store=store, engine="litert")
    assert first.engine == both.engine == "litert"
    assert both.report.computed == 9
    _is_close(both, boundary_activations(whole, examples, store=ActivationStore(tmp_path / "new")))
