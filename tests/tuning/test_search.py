"""A search compares trials on validation, survives kills and failures, and hands on its winner."""

import dataclasses
import itertools
import os
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import tftune
from tftune.builders.new_head import head_settings, with_head
from tftune.errors import ConfigError, ResumeError, SearchError
from tftune.tuning import budget
from tftune.tuning.ranges import Choice, Float
from tftune.tuning.search_space import SearchSpace

_SMALL = SearchSpace(
    hidden=Choice((), (8,)),
    dropout=0.2,
    label_smoothing=0.0,
    optimizer="adamw",
    weight_decay=0.0,
    batch_size=8,
    head_rate=Float(1e-3, 1e-1, log=True),
    head_epochs=3,
)


@pytest.fixture(scope="module")
def model(stripes):
    keras.utils.set_random_seed(1)
    return tftune.build_image_classifier(
        "efficientnet_lite0", stripes, image_size=(32, 32), weights=None
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    from tftune.cache.store import ActivationStore

    return ActivationStore(tmp_path_factory.mktemp("features"))


@pytest.fixture
def search(model, stripes, store):
    def run(**settings):
        asked = {"trials": 3, "oracle": "random", "space": _SMALL, **settings}
        asked.setdefault("fine_tune_trials", 0)
        data = asked.pop("data", _without_test(stripes))
        return tftune.search(model, data, verbose=False, store=store, **asked)

    return run


def _without_test(data):
    return dataclasses.replace(data, test=data.test.take([]))


def test_a_search_gives_a_table_a_plan_and_a_trained_model_of_its_own(model, stripes, search):
    before = [np.array(w.numpy()) for w in model.keras_model.weights]
    found = search(trials=4, data=stripes)
    assert found.trials["trial"].tolist() == ["default", "1", "2", "3", "4"]
    assert (found.trials["status"] == "done").all()
    assert set(found.test) == {"default", "best"}
    shared = {id(layer) for layer in model.keras_model.layers}
    assert not any(id(layer) in shared for layer in found.model.keras_model.layers)
    for weight, value in zip(model.keras_model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)
    assert "Search: 4 trial(s)" in str(found)
    measured = tftune.evaluate(found.model, stripes.validation).metrics
    assert found.best["loss"] == pytest.approx(measured["loss"], rel=1e-4)
    assert found.best["accuracy"] == found.trials["accuracy"].max()


@pytest.mark.parametrize(("hidden", "dropout"), [((), 0.3), ((8,), 0.3)])
def test_fine_tune_with_a_trials_plan_comes_to_the_trials_figures(
    model, stripes, store, hidden, dropout
):
    extra = {"feature_extraction.start_from_probe": False, "feature_extraction.ema": 0.5}
    space = _SMALL.replace(
        hidden=hidden, dropout=dropout, head_rate=Choice(0.01, 0.02), extra=extra
    )
    data = _without_test(stripes)
    found = tftune.search(
        model,
        data,
        trials=1,
        fine_tune_trials=0,
        oracle="grid",
        space=space,
        verbose=False,
        store=store,
    )
    trial = found.trials.iloc[1]
    phase = (
        tftune.plan(model, data)
        .phases[0]
        .replace(
            learning_rate=0.01,
            epochs=3,
            batch_size=8,
            weight_decay=0.0,
            start_from_probe=False,
            ema=0.5,
        )
    )
    plan = tftune.Plan((phase,), seed=0)
    keras.utils.set_random_seed(0)
    same = with_head(model, hidden=hidden, dropout=dropout)
    run = tftune.fine_tune(same, data, plan, verbose=False, store=store)
    # The same steps, summed in another order: float32 rounding over nine steps of training.
    assert trial["loss"] == pytest.approx(run.history["val_loss"].min(), rel=1e-4)
    assert run.history["val_loss"].min() < run.history["val_loss"].iloc[0]


@pytest.mark.parametrize(
    "settings",
    [
        {"oversample": True, "class_weights": None, "start_from_probe": False},
        {"class_weights": "balanced", "start_from_probe": True},
    ],
)
def test_rare_classes_have_the_figures_they_have_in_fine_tune(model, stripes, store, settings):
    rare = dataclasses.replace(_without_test(stripes), train=stripes.train.take(range(4, 18)))
    extra = {f"feature_extraction.{name}": value for name, value in settings.items()}
    space = _SMALL.replace(
        hidden=(), dropout=0.0, head_rate=Choice(0.01, 0.02), head_epochs=2, extra=extra
    )
    found = tftune.search(
        model,
        rare,
        trials=1,
        fine_tune_trials=0,
        oracle="grid",
        space=space,
        verbose=False,
        store=store,
    )
    head = tftune.plan(model, rare, imbalance="none").phases[0]
    phase = head.replace(learning_rate=0.01, epochs=2, batch_size=8, weight_decay=0.0, **settings)
    keras.utils.set_random_seed(0)
    same = with_head(model, hidden=(), dropout=0.0)
    run = tftune.fine_tune(same, rare, tftune.Plan((phase,), seed=0), verbose=False, store=store)
    measured = run.validation["feature_extraction"].metrics["loss"]
    assert found.trials["loss"].iloc[1] == pytest.approx(measured, rel=1e-4)


def test_the_same_call_goes_on_where_it_was_stopped(search, stripes, tmp_path, monkeypatch):
    from tftune.tuning.head_trials import HeadTrials

    whole = search(trials=5, seed=3)
    run, begun = HeadTrials.__call__, []

    def stopped(self, values, *rest, **settings):
        begun.append(values)
        if len(begun) == 4:
            raise KeyboardInterrupt
        return run(self, values, *rest, **settings)

    output = tmp_path / "found"
    with monkeypatch.context() as patch:
        patch.setattr(HeadTrials, "__call__", stopped)
        with pytest.raises(KeyboardInterrupt):
            search(trials=5, seed=3, output=output)
    parts = search(trials=5, seed=3, output=output)
    assert parts.trials["head_rate"].tolist()[1:] == whole.trials["head_rate"].tolist()[1:]
    assert parts.trials["loss"].tolist() == pytest.approx(whole.trials["loss"].tolist(), rel=1e-5)
    assert tftune.Plan.load(output / "plan.json") == parts.plan
    assert tftune.load(output).class_names == parts.model.class_names
    assert "<svg" in (output / "report.html").read_text(encoding="utf-8")
    assert parts.to_json()["trials"][1]["head_rate"] == pytest.approx(parts.trials["head_rate"][1])
    folder = output / "head"
    sizes = [os.path.getsize(os.path.join(r, f)) for r, _, files in os.walk(folder) for f in files]
    assert sum(sizes) < 5 * 100_000
    assert len(list(folder.glob("*/weights.npz"))) == 3
    fewer = dataclasses.replace(_without_test(stripes), train=stripes.train.take(range(12)))
    with pytest.raises(ResumeError, match="Changed: the data"):
        search(trials=5, seed=3, output=output, data=fewer)


def test_trials_that_lose_all_sense_of_number_fail_and_the_search_goes_on(search):
    space = _SMALL.replace(
        optimizer="sgd",
        head_rate=Choice(0.01, 1e30),
        hidden=(8,),
        extra={"feature_extraction.schedule": "constant"},
    )
    found = search(trials=None, oracle="grid", space=space)
    assert found.trials["status"].tolist() == ["done", "done", "failed"]
    assert "became" in found.trials["reason"].iloc[2]
    assert "Trial 2 failed: The training loss became" in str(found)
    with pytest.raises(SearchError, match="No trial of the search ended well"):
        search(
            trials=None,
            oracle="grid",
            space=space.replace(head_rate=1e30, dropout=Choice(0.1, 0.2)),
            folds=2,
        )


def test_folds_judge_on_every_example(search, stripes):
    found = search(trials=2, folds=3)
    assert found.judged_on == "3 folds"
    count = len(stripes.train) + len(stripes.validation)
    shares = found.trials["accuracy"] * count
    np.testing.assert_allclose(shares, shares.round(), atol=1e-6)
    assert found.model.predict(np.zeros((32, 32, 3)))


def test_hyperband_trains_longer_those_that_did_best_short(search):
    found = search(trials=4, oracle="hyperband")
    assert found.trials["epochs"].tolist()[1:] == [1, 1, 1, 3]
    assert found.trials["head_rate"][4] in found.trials["head_rate"].tolist()[1:4]


@pytest.mark.slow
def test_poolings_and_augmentations_are_searched_too(search):
    space = _SMALL.replace(
        hidden=(),
        head_rate=0.01,
        pooling=Choice("average", "concat"),
        augment=Choice("none", "light"),
    )
    found = search(trials=None, oracle="grid", space=space)
    assert len(found.trials) == 5 and (found.trials["status"] == "done").all()
    assert set(found.trials["pooling"][1:]) == {"average", "concat"}


@pytest.mark.slow
def test_several_models_compete(model, stripes, store):
    other = tftune.build_image_classifier(
        "mobilenet_v2", stripes, image_size=(32, 32), weights=None
    )
    found = tftune.search(
        [model, other],
        stripes,
        trials=4,
        fine_tune_trials=0,
        oracle="grid",
        space=_SMALL.replace(hidden=(), head_rate=0.01, dropout=0.1),
        verbose=False,
        store=store,
    )
    assert set(found.trials["backbone"][1:]) == {"efficientnet_lite0", "mobilenet_v2"}


def test_a_budget_that_is_spent_ends_the_search(search, monkeypatch):
    # A clock that moves on by a second whenever it is looked at, however busy the machine is.
    seconds = itertools.count()
    monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    found = search(trials=500, budget="30s")
    assert 1 < len(found.trials) <= 30


def test_a_head_is_read_from_a_model_and_can_be_exchanged(model, stripes):
    wider = with_head(model, hidden=(8, 4), dropout=0.1, activation="gelu", pooling="concat")
    assert head_settings(wider) == {
        "hidden": (8, 4),
        "dropout": 0.1,
        "activation": "gelu",
        "pooling": "concat",
    }
    assert head_settings(model)["pooling"] == "average"
    assert wider.backbone.get_layer("stem_conv") is model.backbone.get_layer("stem_conv")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trials": None}, "`trials` may be None only for a grid"),
        ({"objective": "acuracy"}, "Did you mean 'accuracy'"),
        ({"oracle": "random forest"}, "`oracle` must be one of"),
        ({"budget": "soon"}, "`budget` must be a length of time"),
        ({"folds": 99}, "`folds` must be between 2 and"),
        ({"space": _SMALL.replace(hidden=(), head_rate=0.1)}, "every value is pinned"),
    ],
)
def test_settings_that_make_no_sense_are_refused_in_a_sentence(search, settings, message):
    with pytest.raises(ConfigError, match=message):
        search(**settings)


def test_the_best_heads_are_fine_tuned_and_backbones_left_as_they_were(model, stripes, search):
    before = [np.array(w.numpy()) for w in model.keras_model.weights]
    flags = [layer.trainable for layer in model.keras_model.layers]
    space = _SMALL.replace(
        unfreeze=Choice("block7", 1),
        fine_tune_epochs=1,
        fine_tune_rate=1e-3,
        layer_decay=1.0,
    )
    found = search(trials=2, fine_tune_trials=2, space=space, objective="loss", data=stripes)
    names = found.trials["trial"].tolist()
    assert names == ["default", "1", "2", "default, fine-tuned", "f1", "f2"]
    assert (found.trials["status"] == "done").all(), found.trials["reason"].tolist()
    assert {"cache", "head trials", "fine-tuning trials", "evaluation"} <= set(found.seconds)
    for weight, value in zip(model.keras_model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)
    assert [layer.trainable for layer in model.keras_model.layers] == flags
    assert len(found.plan.phases) == (2 if found.best["tier"] == "fine-tuning" else 1)
    measured = tftune.evaluate(found.model, stripes.validation).metrics["loss"]
    assert found.best["loss"] == pytest.approx(measured, rel=1e-4)
