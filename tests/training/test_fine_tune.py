"""The trainer moves what it promises, exactly as a plain Keras loop would."""

import dataclasses

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import tftune
from tftune.data.pipeline import image_batches
from tftune.errors import CacheFullError, ConfigError, DataError, OutputExistsError, SentinelError
from tftune.training.batches import epoch_order
from tftune.training.boundary import CutModel
from tftune.training.sentinel import Sentinel, promised_variables


def _phase(**changes):
    settings = {
        "name": "feature_extraction",
        "unfreeze": "none",
        "epochs": 2,
        "learning_rate": 1e-2,
        "batch_size": 4,
        "schedule": "constant",
        "weight_decay": 0.0,
    }
    return tftune.Phase(**{**settings, **changes})


def _weights(model):
    return {w.path: np.array(w.numpy()) for w in model.keras_model.weights}


def _moved(before, after):
    return {path for path in before if not np.array_equal(before[path], after[path])}


def test_phase_one_leaves_every_backbone_weight_and_statistic_bit_identical(small_model, stripes):
    before = _weights(small_model)
    tftune.fine_tune(small_model, stripes, tftune.Plan((_phase(),)), verbose=False)
    assert _moved(before, _weights(small_model)) <= {"logits/kernel", "logits/bias"}


@pytest.mark.parametrize("cache", ["disk", "off"])
def test_phase_two_moves_exactly_the_promised_variables(small_model, stripes, cache):
    before = _weights(small_model)
    plan = tftune.Plan((_phase(name="fine_tuning", unfreeze="block7", epochs=1),), cache=cache)
    moved = set()
    tftune.fine_tune(
        small_model,
        stripes,
        plan,
        verbose=False,
        callbacks=lambda: [
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda *_: moved.update(_moved(before, _weights(small_model)))
            )
        ],
    )
    expected = {
        path
        for path in before
        if path.startswith(("block7", "top_conv", "logits")) and "_bn" not in path
    }
    assert moved == expected


@pytest.mark.parametrize("unfreeze", ["none", "block6", "all"])
def test_training_from_the_cache_equals_a_plain_keras_loop(stripes, unfreeze):
    """The loop below is what the Keras guide shows, with the same order of examples."""

    def fresh():
        keras.utils.set_random_seed(1)
        return tftune.build_image_classifier(
            "efficientnet_lite0", stripes, image_size=(32, 32), weights=None, dropout=0.0
        )

    model = fresh()
    phase = _phase(unfreeze=unfreeze, optimizer="sgd", learning_rate=1e-3, epochs=3)
    run = tftune.fine_tune(model, stripes, tftune.Plan((phase,), seed=5), verbose=False)

    plain = fresh()
    plain.set_trainable(unfreeze)
    network = plain.logits_model
    loss_function = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.SGD(1e-3, momentum=0.9), loss_function)
    pixels = np.concatenate(list(image_batches(stripes.train.examples, plain.image_input)))
    validation = np.concatenate(list(image_batches(stripes.validation.examples, plain.image_input)))
    losses = []
    for epoch in range(3):
        order = epoch_order(len(stripes.train), 5, epoch)
        for start in range(0, len(order), 4):
            chosen = order[start : start + 4]
            network.train_on_batch(pixels[chosen], stripes.train.labels[chosen])
        logits = network.predict(validation, verbose=0)
        losses.append(float(loss_function(stripes.validation.labels, logits)))
    # Float32 rounding grows over fifteen steps of training; a wrong order, a BatchNormalization in
    # training mode or a missed variable is off by orders of magnitude more.
    np.testing.assert_allclose(run.history["val_loss"], losses, rtol=1e-4)


def test_the_best_weights_are_kept_when_training_only_harms(small_model, stripes):
    before = _weights(small_model)
    plan = tftune.Plan((_phase(learning_rate=1e3, optimizer="sgd", epochs=3),))
    run = tftune.fine_tune(small_model, stripes, plan, verbose=False)
    best = run.history["val_loss"].min()
    kept = run.validation["feature_extraction"].metrics["loss"]
    assert kept <= best * (1 + 1e-5) or not _moved(before, _weights(small_model))


def test_patience_ends_a_phase_early(small_model, stripes):
    plan = tftune.Plan((_phase(learning_rate=1e3, optimizer="sgd", epochs=30, patience=2),))
    run = tftune.fine_tune(small_model, stripes, plan, verbose=False)
    assert len(run.history) < 30


def test_the_probe_starts_the_head_with_and_without_the_cache(stripes):
    model = tftune.build_image_classifier("efficientnet_lite0", stripes, image_size=(64, 64))
    start = [weight.numpy() for weight in model.keras_model.weights]
    heads = []
    for cache in ("disk", "off"):
        model.keras_model.set_weights(start)
        plan = tftune.Plan((_phase(start_from_probe=True, epochs=0),), cache=cache)
        run = tftune.fine_tune(model, stripes, plan, verbose=False)
        assert run.validation["feature_extraction"].accuracy == 1.0
        heads.append(model.keras_model.get_layer("logits").get_weights()[0])
    # Features differ in the last bits, and the solver stops within 1e-4 of the best.
    np.testing.assert_allclose(*heads, rtol=1e-3, atol=1e-3)


def test_callbacks_are_made_new_for_each_phase(small_model, stripes):
    made = []

    def factory():
        made.append(keras.callbacks.Callback())
        return made[-1:]

    plan = tftune.Plan((_phase(epochs=1), _phase(name="fine_tuning", unfreeze=1, epochs=1)))
    run = tftune.fine_tune(small_model, stripes, plan, verbose=False, callbacks=factory)
    assert len(made) == 2
    assert run.history["phase"].tolist() == ["feature_extraction", "fine_tuning"]


def test_the_same_seed_gives_the_same_run(stripes):
    def losses():
        keras.utils.set_random_seed(1)
        model = tftune.build_image_classifier(
            "efficientnet_lite0", stripes, image_size=(32, 32), weights=None
        )
        plan = tftune.Plan((_phase(epochs=2),), seed=11)
        return tftune.fine_tune(model, stripes, plan, verbose=False).history["loss"]

    pd.testing.assert_series_equal(losses(), losses())


class TestSentinel:
    def test_a_weight_that_moves_unasked_stops_training(self, small_model, stripes):
        bn = small_model.keras_model.get_layer("block5a_bn")

        def vandal():
            def shift(*_, **__):
                bn.moving_mean.assign_add(np.ones(bn.moving_mean.shape))

            return [keras.callbacks.LambdaCallback(on_train_batch_begin=shift)]

        with pytest.raises(SentinelError, match=r"Moved but must not: block5a_bn/moving_mean\."):
            tftune.fine_tune(
                small_model, stripes, tftune.Plan((_phase(),)), verbose=False, callbacks=vandal
            )

    def test_changing_trainable_without_compiling_again_is_caught(self, small_model, stripes):
        """Keras keeps the variables chosen when it compiled, and says nothing."""
        small_model.set_trainable("none")
        network = small_model.logits_model
        network.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        pixels = np.concatenate(
            list(image_batches(stripes.train.examples, small_model.image_input))
        )
        network.fit(pixels, stripes.train.labels, verbose=0, epochs=1)
        small_model.set_trainable("block7")
        sentinel = Sentinel(
            small_model.keras_model.weights, promised_variables(small_model, "block7")
        )
        with pytest.raises(SentinelError, match="Did not move but must"):
            network.fit(pixels, stripes.train.labels, verbose=0, callbacks=[sentinel])


class TestRunDirectory:
    def test_a_run_leaves_its_plan_history_metrics_and_model(self, small_model, stripes, tmp_path):
        out = tmp_path / "runs" / "first"
        plan = tftune.Plan((_phase(),))
        run = tftune.fine_tune(small_model, stripes, plan, output=out, verbose=False)
        assert tftune.Plan.load(out / "plan.json") == plan
        history = pd.read_csv(out / "history.csv")
        pd.testing.assert_frame_equal(history, run.history, check_dtype=False)
        assert (out / "environment.json").stat().st_size > 50
        path = stripes.test.examples.paths[0]
        assert tftune.load(out).predict(path) == small_model.predict(path)
        assert [p.name for p in out.parent.iterdir()] == ["first"]

    def test_a_run_that_exists_is_replaced_only_when_asked(self, small_model, stripes, tmp_path):
        out = tmp_path / "run"
        plan = tftune.Plan((_phase(epochs=1),))
        tftune.fine_tune(small_model, stripes, plan, output=out, verbose=False)
        with pytest.raises(OutputExistsError, match="--overwrite"):
            tftune.fine_tune(small_model, stripes, plan, output=out, verbose=False)
        tftune.fine_tune(small_model, stripes, plan, output=out, overwrite=True, verbose=False)

    def test_a_folder_of_something_else_is_never_overwritten(self, small_model, stripes, tmp_path):
        (tmp_path / "thesis.txt").touch()
        with pytest.raises(OutputExistsError, match="not a run directory"):
            tftune.fine_tune(small_model, stripes, output=tmp_path, overwrite=True, verbose=False)
        assert (tmp_path / "thesis.txt").exists()


def test_data_that_does_not_fit_the_model_is_refused(small_model, stripes):
    empty = dataclasses.replace(stripes, validation=stripes.validation.take([]))
    with pytest.raises(ConfigError, match="validation examples"):
        tftune.fine_tune(small_model, empty, verbose=False)
    other = tftune.build_image_classifier(
        "efficientnet_lite0", class_names=["x", "y"], image_size=(32, 32), weights=None
    )
    with pytest.raises(DataError, match="classes must be the model's"):
        tftune.fine_tune(other, stripes, verbose=False)


def test_the_default_plan_has_two_phases_and_says_why(small_model, stripes):
    plan = tftune.plan(small_model, stripes)
    assert [phase.name for phase in plan.phases] == ["feature_extraction", "fine_tuning"]
    assert plan.phases[1].learning_rate < plan.phases[0].learning_rate
    assert "unfreeze" in plan.reasons
    assert "head" in str(plan)


def test_gradual_unfreezing_goes_down_stage_by_stage_at_falling_rates(small_model, stripes):
    plan = tftune.plans.gradual(small_model, stripes, steps=2, unfreeze=2, epochs=1, head_epochs=1)
    assert [phase.unfreeze for phase in plan.phases] == ["none", 1, 2]
    assert plan.phases[2].learning_rate == plan.phases[1].learning_rate / 2
    run = tftune.fine_tune(small_model, stripes, plan, verbose=False)
    assert list(run.validation) == ["feature_extraction", "fine_tuning", "fine_tuning_2"]


def test_interpolation_never_leaves_validation_worse_than_the_head_alone(small_model, stripes):
    tuned = _phase(name="fine_tuning", unfreeze=1, learning_rate=0.1, epochs=1, interpolate=True)
    plan = tftune.Plan((_phase(), tuned))
    run = tftune.fine_tune(small_model, stripes, plan, verbose=False)
    head, both = run.validation["feature_extraction"], run.validation["fine_tuning"]
    assert both.metrics["loss"] <= head.metrics["loss"] * (1 + 1e-6)
    assert both.accuracy >= head.accuracy
    assert list(run.verdict.scores) == ["probe", "fine-tuned", "interpolated"]
    # What was measured from the cache is what the model gives from the images.
    again = tftune.evaluate(small_model, stripes.validation)
    assert again.metrics["loss"] == pytest.approx(both.metrics["loss"], rel=1e-4)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_trains_float32_weights_and_leaves_the_model_in_float32(
    small_model, stripes, precision
):
    before = _weights(small_model)
    computed = set()

    def look():
        def note(batch, logs):
            layer = small_model.keras_model.get_layer("block7a_expand_conv")
            computed.add(layer(np.zeros((1, 1, 1, layer.kernel.shape[2]), np.float32)).dtype.name)

        return [keras.callbacks.LambdaCallback(on_train_batch_end=note)]

    # A rate at which float16 steps are not lost to the first, too large, loss scales.
    plan = tftune.Plan((_phase(unfreeze="block7", precision=precision, epochs=4, patience=0),))
    run = tftune.fine_tune(small_model, stripes, plan, verbose=False, callbacks=look)
    assert computed == {precision.removeprefix("mixed_")}
    assert np.isfinite(run.history["loss"]).all()
    assert run.history["loss"].nunique() > 1
    assert {w.dtype for w in small_model.keras_model.weights} == {"float32"}
    assert {layer.compute_dtype for layer in small_model.keras_model.layers} == {"float32"}
    assert _moved(before, _weights(small_model)) <= {p for p in before if "_bn" not in p}


def test_a_full_cache_only_costs_time(small_model, stripes, monkeypatch):
    def full(*arguments, **settings):
        raise CacheFullError("The cache has no room.")

    monkeypatch.setattr("tftune.training.rows.boundary_activations", full)
    plan = tftune.Plan((_phase(epochs=1),))
    run = tftune.fine_tune(small_model, stripes, plan, verbose=False)
    assert len(run.history) == 1
    assert "without the cache" in run.notes[0]


def test_an_automatic_batch_is_halved_when_memory_runs_out(small_model, stripes, monkeypatch):
    sizes = []
    real = CutModel.training_batches

    def scarce(self, split, batch_size, *others):
        sizes.append(batch_size)
        if batch_size > 2:
            raise tf.errors.ResourceExhaustedError(None, None, "out of memory")
        return real(self, split, batch_size, *others)

    monkeypatch.setattr(CutModel, "training_batches", scarce)
    plan = tftune.Plan((_phase(batch_size="auto", epochs=1),))
    run = tftune.fine_tune(small_model, stripes, plan, verbose=False)
    assert sizes == [8, 4, 2]
    assert "8 examples a step did not fit into memory" in run.notes[0]


def test_history_can_be_drawn(small_model, stripes):
    run = tftune.fine_tune(small_model, stripes, tftune.Plan((_phase(),)), verbose=False)
    assert [axes.get_ylabel() for axes in run.plot().axes] == ["loss (nats)", "accuracy"]
    assert "feature_extraction" in str(run)


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_other_tasks_are_trained_and_judged_in_their_own_figures(task):
    generator = np.random.default_rng(0)
    labels = (generator.random((24, 2)) > 0.5).astype("float32")
    images = np.full((24, 32, 32, 3), 40, np.uint8)
    images[..., :2] += (labels * 150).astype(np.uint8)[:, None, None]
    split = ["train"] * 16 + ["validation"] * 8
    names = ["red", "green"]
    data = tftune.load_image_arrays(images, labels, names, task=task, split=split)
    model = tftune.build_image_classifier(
        "efficientnet_lite0", data, image_size=(32, 32), weights=None
    )
    plan = tftune.Plan((_phase(start_from_probe=True, class_weights=None),))
    run = tftune.fine_tune(model, data, plan, verbose=False)
    beside = {"multilabel": "accuracy", "regression": "error"}[task]
    assert run.figures == ("loss", beside)
    assert run.verdict.num_examples == 8
    assert beside in str(run)


def test_the_default_plan_ends_with_a_calibrated_model(small_model, stripes):
    many = dataclasses.replace(stripes, validation=stripes.train.take(np.arange(36) % 18))
    plan = tftune.plan(small_model, many, head_epochs=5, fine_tune_epochs=0)
    assert plan.calibrate
    plan = plan.replace(phases=(plan.phases[0].replace(start_from_probe=False),))
    run = tftune.fine_tune(small_model, many, plan, verbose=False)
    assert any("emperature" in note for note in run.notes)
    # Five epochs from random weights find the classes and leave the answers unsure.
    assert small_model.temperature < 1
    kept = run.validation["feature_extraction"].predictions
    exact = small_model.outputs_from_logits(kept.logits)
    np.testing.assert_allclose(kept.outputs, exact, rtol=1e-6)
