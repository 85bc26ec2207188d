"""Augmented views: drawn once and cached, or online; either way the same images."""

import os
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest

import tftune
from tftune.cache.store import ActivationStore
from tftune.cache.trunk_pass import boundary_activations
from tftune.data.augment import Augmentation, augmented_batches
from tftune.data.pipeline import image_batches
from tftune.errors import ConfigError
from tftune.training.batches import cached_epochs, online_epochs
from tftune.training.boundary import CutModel
from tftune.training.views import Views

LIGHT = Augmentation.of("light")


def _phase(**changes):
    settings = {"epochs": 3, "learning_rate": 1e-2, "batch_size": 4, "schedule": "constant"}
    return tftune.Phase("feature_extraction", "none", **{**settings, **changes})


def _fresh(stripes):
    keras.utils.set_random_seed(1)
    return tftune.build_image_classifier(
        "efficientnet_lite0", stripes, image_size=(32, 32), weights=None, dropout=0.0
    )


def test_epochs_go_through_the_views_in_turn_and_begin_again():
    views = [np.full((4, 2), view, np.float32) for view in range(3)]
    batches = cached_epochs(views, np.arange(4), 2, 4, seed=0)
    assert [rows[0, 0] for rows, _ in batches.as_numpy_iterator()] == [0, 0, 1, 1, 2, 2, 0, 0]
    # So it does where training continues in the middle of an epoch.
    rest = cached_epochs(views, np.arange(4), 2, None, seed=0, start=(2, 1)).take(2)
    assert [rows[0, 0] for rows, _ in rest.as_numpy_iterator()] == [2, 0]


def test_online_the_first_epoch_sees_the_images_and_each_later_one_its_own_view(
    small_model, stripes
):
    contract, examples = small_model.image_input, stripes.train.examples
    views = Views(LIGHT, 0, 5)
    drawn = online_epochs(stripes.train, contract, 18, 3, None, views=views)
    epochs = [images for images, _ in drawn.as_numpy_iterator()]
    np.testing.assert_array_equal(epochs[0], next(iter(image_batches(examples, contract, 18))))
    for view in (1, 2):
        expected = next(iter(augmented_batches(examples, contract, LIGHT, 5, view, 18)))
        np.testing.assert_array_equal(epochs[view], expected)


def test_training_from_cached_views_equals_training_online(stripes):
    """With a view an epoch, both see the same images in the same order."""

    def losses(**settings):
        plan = tftune.Plan((_phase(optimizer="sgd"),), seed=5, augment="light", **settings)
        return tftune.fine_tune(_fresh(stripes), stripes, plan, verbose=False).history["val_loss"]

    # The tolerance is that of training from the cache at all; another view changes the third digit.
    np.testing.assert_allclose(losses(views=3), losses(views=0, cache="off"), rtol=1e-4)


def test_views_of_another_policy_seed_or_number_are_cached_apart(small_model, stripes, tmp_path):
    store = ActivationStore(tmp_path)
    trunk, _ = small_model.cut("pooled")

    def rows(augmentation, seed, view):
        views = Views(augmentation, 4, seed)
        return boundary_activations(
            trunk,
            stripes.test.examples,
            store=store,
            view=views.key(view),
            batches=views.batches(small_model.image_input, view) if view else None,
        )

    kinds = [(LIGHT, 0, 0), (LIGHT, 0, 1), (LIGHT, 0, 2), (LIGHT, 1, 1)]
    kinds.append((Augmentation.of("medium"), 0, 1))
    found = [rows(*kind) for kind in kinds]
    assert [r.report.computed for r in found] == [3] * len(kinds)
    for one in range(len(found)):
        for other in range(one):
            assert not np.array_equal(found[one], found[other])
    assert [rows(*kind).report.computed for kind in kinds] == [0] * len(kinds)


def test_validation_is_never_augmented(small_model, stripes, monkeypatch):
    cuts = []
    monkeypatch.setattr(
        "tftune.training.phase._fit", lambda prepared, size: cuts.append(prepared.cut)
    )
    plan = tftune.Plan((_phase(),), augment="strong", views=2)
    tftune.fine_tune(small_model, stripes, plan, verbose=False)
    trunk, _ = small_model.cut("pooled")
    plain = boundary_activations(trunk, stripes.validation.examples)
    np.testing.assert_array_equal(cuts[0].activations["validation"], plain)
    online = CutModel(small_model, small_model.logits_model, None, views=Views(LIGHT, 0, 0))
    images = np.concatenate([x for x, _ in online.ordered_batches(stripes.validation, 4)])
    expected = np.concatenate(
        list(image_batches(stripes.validation.examples, small_model.image_input))
    )
    np.testing.assert_array_equal(images, expected)


@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_blended_images_come_with_shares_of_classes(small_model, stripes, mix):
    augmentation = Augmentation.of("none", mix=mix, mix_alpha=1.0)
    batches = online_epochs(
        stripes.train, small_model.image_input, 6, 1, 0, views=Views(augmentation, 0, 0)
    )
    shares = np.concatenate([labels for _, labels in batches.as_numpy_iterator()])
    assert shares.shape == (18, 3)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    assert ((shares > 0.01) & (shares < 0.99)).any()


def test_a_plan_that_blends_images_runs_online(small_model, stripes):
    augmentation = Augmentation.of("none", mix="mixup")
    plan = tftune.plan(
        small_model, stripes, augment=augmentation, head_epochs=1, fine_tune_epochs=0
    )
    assert (plan.cache, plan.views) == ("off", 0)
    run = tftune.fine_tune(small_model, stripes, plan, verbose=False)
    assert np.isfinite(run.history["loss"]).all()


def test_a_blended_batch_goes_on_where_an_interrupted_epoch_left_off(small_model, stripes):
    views = Views(Augmentation.of("none", mix="mixup", mix_alpha=1.0), 0, 0)

    def labels(start, count):
        batches = online_epochs(
            stripes.train, small_model.image_input, 6, None, 0, start, views=views
        )
        return [labels for _, labels in batches.take(count).as_numpy_iterator()]

    for whole, rest in zip(labels((0, 0), 5)[2:], labels((0, 2), 3), strict=True):
        np.testing.assert_array_equal(whole, rest)


class TestTheRule:
    def test_images_stay_as_they_are_unless_asked(self, small_model, stripes):
        plan = tftune.plan(small_model, stripes)
        assert plan.augment == "none"
        assert "light" in plan.reasons["augment"]

    def test_few_images_get_views_from_the_cache_and_the_plan_says_how_many(
        self, small_model, stripes
    ):
        plan = tftune.plan(small_model, stripes, augment="light")
        assert (plan.augment, plan.views, plan.cache) == ("light", 8, "disk")
        assert "8 views of 18 images" in plan.reasons["augment"]
        assert "light (8 views)" in str(plan)
        few = tftune.plan(small_model, stripes, augment="light", head_epochs=3, fine_tune_epochs=2)
        assert few.views == 3

    def test_views_that_do_not_fit_are_drawn_online(self, small_model, stripes, monkeypatch):
        monkeypatch.setenv("TFTUNE_CACHE_BUDGET", "10kB")
        plan = tftune.plan(small_model, stripes, augment="medium")
        assert (plan.views, plan.cache) == (0, "off")
        assert "room for 10.0 kB" in plan.reasons["augment"]
        assert "medium (online)" in str(plan)

    def test_layers_of_ones_own_are_recorded(self, small_model, stripes, tmp_path):
        layers = [keras.layers.RandomFlip("vertical")]
        plan = tftune.plan(small_model, stripes, augment=layers, views=2)
        plan.save(tmp_path / "plan.json")
        again = tftune.Plan.load(tmp_path / "plan.json")
        assert Views.of_plan(again).augmentation == Augmentation.of(layers)
        assert "custom (2 views)" in str(again)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"augment": "ligth"}, "Did you mean 'light'"),
        ({"augment": "light"}, "`views` must be 2 or more with"),
        ({"augment": "light", "views": 1}, "the image itself"),
        ({"views": -1}, "at least 0"),
        ({"augment": {"name": "none", "mix": "mixup"}, "views": 2}, "blends images"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        tftune.Plan((_phase(),), **settings)


def test_views_of_no_augmentation_are_refused(small_model, stripes):
    with pytest.raises(ConfigError, match="draws none. Add augment='light'"):
        tftune.plan(small_model, stripes, views=4, estimate=False)


# Killed by its own callback in the middle of the epoch that sees the second view.
PROGRAM = """
import os, signal, sys
import keras, tensorflow as tf
tf.config.experimental.enable_op_determinism()
import tftune
from tftune.training.checkpoint import Checkpoints
Checkpoints.due = property(lambda self: self.folder is not None)
folder, out, killed, cache = sys.argv[1:]
data = tftune.load_image_folder(folder)
keras.utils.set_random_seed(1)
model = tftune.build_image_classifier(
    "efficientnet_lite0", data, image_size=(32, 32), weights=None, dropout=0.3
)
phase = tftune.Phase("feature_extraction", "none", 4, 1e-2, 4)
views = 3 if cache == "disk" else 0
plan = tftune.Plan((phase,), seed=3, augment="strong", views=views, cache=cache)
steps = []
def kill(batch, logs):
    steps.append(batch)
    if killed == "killed" and len(steps) == 8:
        os.kill(os.getpid(), signal.SIGKILL)
callback = lambda: [keras.callbacks.LambdaCallback(on_train_batch_begin=kill)]
tftune.fine_tune(model, data, plan, output=out, callbacks=callback, verbose=False)
"""


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["disk", "off"])
def test_a_run_killed_among_its_views_ends_with_the_same_bits(stripes_folder, tmp_path, cache):
    def run(name, killed):
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, stripes_folder, tmp_path / name, killed, cache],
            env={**os.environ, "TFTUNE_CACHE": str(tmp_path / f"cache of {name}")},
            stderr=subprocess.PIPE,
            text=True,
        )

    assert run("killed", "killed").returncode == -9
    for name in ("killed", "whole"):
        done = run(name, "no")
        assert done.returncode == 0, done.stderr
    killed, whole = (
        tftune.load(tmp_path / n).keras_model.get_weights() for n in ("killed", "whole")
    )
    for one, other in zip(killed, whole, strict=True):
        np.testing.assert_array_equal(one, other)
    histories = [
        pd.read_csv(tmp_path / name / "history.csv").drop(columns="seconds")
        for name in ("killed", "whole")
    ]
    pd.testing.assert_frame_equal(*histories, check_exact=True)
