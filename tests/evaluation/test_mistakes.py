"""Mistakes are listed surest first and drawn beside what the network takes for alike."""

import dataclasses

import numpy as np
import pytest

import tftune
from tftune.errors import ConfigError, DataError
from tftune.evaluation.evaluate import evaluate_predictions
from tftune.evaluation.mistakes import (
    find_confused_pairs,
    find_mistakes,
    nearest_examples,
)
from tftune.results.predictions import Predictions


@pytest.fixture
def evaluation(stripes):
    """Six diagonal images, of which three are taken for horizontal and one for vertical."""
    split = stripes.train.take(np.flatnonzero(stripes.train.labels == 0))
    chosen = [0, 1, 1, 2, 1, 0]
    outputs = np.full((6, 3), 0.05)
    outputs[np.arange(6), chosen] = [0.9, 0.6, 0.8, 0.7, 0.5, 0.9]
    predictions = Predictions(
        split.labels,
        outputs,
        None,
        np.arange(6),
        split.examples.names,
        split.examples.fingerprints,
    )
    evaluated = evaluate_predictions(predictions, "multiclass", split.class_names)
    return dataclasses.replace(evaluated, split="train"), split


def test_the_most_confident_mistake_comes_first(evaluation):
    measured, split = evaluation
    found = find_mistakes(measured)
    assert [mistake.index for mistake in found] == [2, 3, 1, 4]
    assert found[0].name == split.examples.names[2]
    assert (found[0].true, found[0].predicted, found[0].confidence) == (
        "diagonal",
        "horizontal",
        0.8,
    )
    assert len(find_mistakes(measured, 2)) == 2


def test_the_most_confused_pair_comes_first(evaluation):
    first, second = find_confused_pairs(evaluation[0])
    assert (first.true, first.predicted, first.count) == ("diagonal", "horizontal", 3)
    assert first.share == 0.5
    assert [mistake.index for mistake in first.mistakes] == [2, 1, 4]
    assert second.predicted == "vertical"


def test_an_image_is_its_own_nearest_example(pretrained_model, stripes):
    places, similar = nearest_examples(pretrained_model, stripes, stripes.train, [4, 11], count=3)
    assert places[:, 0].tolist() == [4, 11]
    assert similar[:, 0] == pytest.approx(1, abs=1e-5)
    assert (np.diff(similar, axis=1) <= 0).all()


def test_each_is_drawn_with_its_names(evaluation, pretrained_model, stripes):
    measured, split = evaluation
    figure = tftune.plot_mistakes(measured, split)
    assert figure.axes[0].get_title() == "horizontal 0.80\nis diagonal"
    figure = tftune.plot_confused_pairs(measured, split)
    assert figure.axes[0].get_title() == "diagonal as\nhorizontal: 3 (50%)"
    figure = tftune.plot_neighbours(pretrained_model, stripes, measured, split, count=2)
    assert "alike 1.00" in figure.axes[1].get_title()


def test_no_mistakes_and_other_heads_are_said_in_words(evaluation, stripes):
    measured, split = evaluation
    right = measured.predictions.take([0, 5])
    perfect = evaluate_predictions(right, "multiclass", split.class_names)
    assert "none" in tftune.plot_mistakes(perfect, split)._suptitle.get_text()
    with pytest.raises(DataError, match="predictions"):
        find_mistakes(dataclasses.replace(measured, predictions=None))
    with pytest.raises(ConfigError, match="a regression head"):
        find_mistakes(dataclasses.replace(measured, task="regression"))
