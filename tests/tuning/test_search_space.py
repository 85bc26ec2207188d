"""A search space is readable, refuses nonsense, and survives JSON."""

import json

import keras_tuner
import pytest

import tftune
from tftune.config.model_spec import HeadSpec
from tftune.errors import ConfigError
from tftune.tuning.objective import Objective
from tftune.tuning.ranges import decoded, hyperparameter


def test_a_space_survives_json():
    boolean = keras_tuner.engine.hyperparameters.Boolean("any", default=True)
    space = tftune.SearchSpace(
        hidden=tftune.Choice((), (256, 128)),
        unfreeze=tftune.Choice("block6", 2, 0.3),
        batch_size=tftune.Int(8, 64, log=True),
        extra={
            "fine_tuning.l2_sp": tftune.Float(1e-4, 1e-1, log=True),
            "feature_extraction.start_from_probe": boolean,
            "head.activation": "gelu",
        },
    )
    again = tftune.SearchSpace.from_json(json.loads(json.dumps(space.to_json())))
    assert again.to_json() == space.to_json()
    assert again.hidden == space.hidden and again.unfreeze == space.unfreeze
    assert "fine_tuning.l2_sp" in str(space) and "none | 256-128" in str(space)


def test_values_of_any_kind_come_back_as_they_were_given():
    mixed = tftune.Choice("block6", 2, None, {"class_name": "SGD", "config": {"momentum": 0.5}})
    parameter = hyperparameter("any", mixed)
    assert [decoded(mixed, value) for value in parameter.values] == list(mixed.values)


def test_what_is_chosen_becomes_settings_of_head_phases_and_plan():
    space = tftune.SearchSpace(head_epochs=4, extra={"plan.cache_dtype": "float16"})
    settings = space.settings({"dropout": 0.3, "optimizer": "sgd", "tuner/epochs": 2})
    assert settings["head.dropout"] == 0.3
    assert settings["feature_extraction.optimizer"] == settings["fine_tuning.optimizer"] == "sgd"
    assert settings["feature_extraction.epochs"] == 4
    assert settings["plan.cache_dtype"] == "float16"
    assert "feature_extraction.learning_rate" not in settings  # searched, and not chosen here
    assert "fine_tune_rate" in space.ranges(fine_tuning=True)


def test_defaults_suit_the_task_and_the_amount_of_data(small_model, stripes):
    space = tftune.SearchSpace.for_data(small_model, stripes)
    assert space.hidden == () and space.batch_size == 8
    assert space.unfreeze.values[0] == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tftune.Choice("a"), "at least two different values"),
        (lambda: tftune.Choice(1, 1), "at least two different values"),
        (lambda: tftune.Float(0.0, 1.0, log=True), "0 < low < high"),
        (lambda: tftune.Int(3, 3), "low < high"),
        (lambda: tftune.SearchSpace(extra={"fine_tuning.l2": 0.1}), "fine_tuning.l2_sp"),
        (lambda: tftune.SearchSpace.from_json({"nonsense": 1}), "not a search space"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def heads(task):
    return (HeadSpec("label", task, ("a", "b"), "logits", "outputs"),)


def test_an_objective_is_a_figure_or_a_weighted_sum():
    goal = Objective.of("validation_accuracy", heads("multiclass"))
    assert goal.name == "accuracy" and goal.more_is_better
    assert not Objective.of("loss", heads("multiclass")).more_is_better
    assert Objective.of(None, heads("regression")).name == "rmse"
    both = Objective.of({"accuracy": 1, "loss": -0.1}, heads("multiclass"))
    assert both.value({"accuracy": 0.9, "loss": 2.0}) == pytest.approx(0.7)
    assert both.rule == "highest 1 x accuracy -0.1 x loss"
    with pytest.raises(ConfigError, match="Did you mean 'macro_f1'"):
        Objective.of("macro_f2", heads("multilabel"))
