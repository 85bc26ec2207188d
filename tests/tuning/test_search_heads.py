"""Models with several heads are searched by the figures of all of them."""

import keras
import numpy as np
import pytest
from sklearn import metrics

import tftune
from tftune.builders.new_head import with_head
from tftune.cache.store import ActivationStore
from tftune.data.dataset import Dataset, Split
from tftune.data.targets import Target
from tftune.data.text_examples import Texts
from tftune.errors import ConfigError
from tftune.tuning.objective import Objective, figures_of
from tftune.tuning.ranges import Choice


@pytest.fixture(scope="module")
def data():
    """Texts with a class that some lack, and a quantity."""
    generator = np.random.default_rng(0)
    hue, tone = np.arange(40) % 2, generator.random(40)
    texts = [f"{('dark', 'red')[h]} {'loud ' * int(5 * t)}" for h, t in zip(hue, tone, strict=True)]

    def split(name, chosen):
        known = np.where(chosen % 5 == 0, -1, hue[chosen]).astype(np.int64)
        targets = (
            Target("hue", "multiclass", ("dark", "red"), known),
            Target("tone", "regression", ("tone",), tone[chosen, None].astype(np.float32)),
        )
        examples = Texts.of([texts[i] for i in chosen], [f"text {i}" for i in chosen])
        return Split(name, examples, targets)

    places = generator.permutation(40)
    return Dataset(
        split("train", places[:24]), split("validation", places[24:32]), split("test", places[32:])
    )


@pytest.fixture(scope="module")
def model(data):
    keras.utils.set_random_seed(1)
    return tftune.build_text_classifier("ngrams", data, dropout=0.0)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return ActivationStore(tmp_path_factory.mktemp("features"))


def test_both_tiers_are_judged_by_all_heads(model, data, store, pinned_space):
    found = tftune.search(
        model,
        data,
        trials=2,
        fine_tune_trials=1,
        oracle="random",
        space=pinned_space,
        verbose=False,
        store=store,
    )
    assert (found.trials["status"] == "done").all(), found.trials["reason"].tolist()
    assert found.objective == "loss" and not found.more_is_better
    assert {"hue_accuracy", "tone_rmse", "hue_loss", "tone_loss"} <= set(found.trials)
    total = found.trials["hue_loss"] + found.trials["tone_loss"]
    np.testing.assert_allclose(found.trials["loss"], total)
    measured = tftune.evaluate(found.model, data.validation)
    assert found.best["hue_accuracy"] == pytest.approx(measured.accuracy)
    assert found.best["tone_rmse"] == pytest.approx(measured.others[0].metrics["rmse"], rel=1e-3)
    assert found.verdict.startswith("hue: Test accuracy") and "\ntone: Test rmse" in found.verdict
    assert found.winner.startswith("default") or len(found.others) == 1


@pytest.mark.parametrize("probe", [False, True])
def test_a_trial_of_several_heads_is_the_training_that_fine_tune_does(
    model, data, store, pinned_space, probe
):
    extra = {
        "feature_extraction.start_from_probe": probe,
        "feature_extraction.head_weights": {"hue": 1.0, "tone": 0.5},
    }
    space = pinned_space.replace(head_rate=Choice(0.01, 0.02), extra=extra)
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
    phase = found.trials.iloc[1]
    planned = tftune.plan(model, data, estimate=False).phases[0]
    same = planned.replace(
        learning_rate=0.01,
        epochs=3,
        batch_size=8,
        weight_decay=0.0,
        start_from_probe=probe,
        head_weights={"hue": 1.0, "tone": 0.5},
    )
    keras.utils.set_random_seed(0)
    other = with_head(model, dropout=0.0)
    run = tftune.fine_tune(other, data, tftune.Plan((same,), seed=0), verbose=False, store=store)
    measured = run.validation["feature_extraction"]
    # The same steps, summed in another order: float32 rounding over a dozen steps of training.
    assert phase["hue_loss"] == pytest.approx(measured.metrics["loss"], rel=1e-3)
    assert phase["tone_rmse"] == pytest.approx(measured.others[0].metrics["rmse"], rel=1e-3)


@pytest.mark.slow
def test_folds_judge_every_head_on_every_example(model, data, store, pinned_space):
    found = tftune.search(
        model,
        data,
        trials=1,
        fine_tune_trials=0,
        oracle="random",
        space=pinned_space,
        folds=2,
        verbose=False,
        store=store,
    )
    labels = np.concatenate([data.train.labels, data.validation.labels])
    right = found.trials["hue_accuracy"] * (labels >= 0).sum()
    np.testing.assert_allclose(right, right.round(), atol=1e-6)


def test_figures_and_objectives_are_named_after_their_heads(model):
    generator = np.random.default_rng(0)
    logits = {"hue": generator.normal(size=(9, 2)), "tone": generator.normal(size=(9, 1))}
    labels = {"hue": np.arange(9) % 2, "tone": generator.normal(size=(9, 1)).astype(np.float32)}
    found = figures_of(model.heads, logits, labels)
    expected = metrics.accuracy_score(labels["hue"], logits["hue"].argmax(1))
    assert found["hue_accuracy"] == pytest.approx(expected)
    assert Objective.of(None, model.heads).name == "loss"
    goal = Objective.of({"hue_accuracy": 1.0, "tone_rmse": -2.0}, model.heads)
    assert goal.value(found) == pytest.approx(expected - 2 * found["tone_rmse"])
    with pytest.raises(ConfigError, match="Did you mean 'hue_accuracy'"):
        Objective.of("hue_acuracy", model.heads)
