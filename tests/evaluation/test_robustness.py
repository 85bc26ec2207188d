"""Spoiled images cost accuracy, and the worst part of the data is named."""

import dataclasses

import numpy as np
import pytest

import tftune
from tftune.errors import ConfigError, DataError, ShapeError
from tftune.evaluation.corruptions import CORRUPTIONS, LEVELS
from tftune.evaluation.evaluate import evaluate_predictions
from tftune.results.predictions import Predictions


@pytest.fixture(scope="module")
def picture():
    rows, columns = np.mgrid[:64, :64]
    edge = (rows + columns > 64) * 100.0
    return np.stack([rows * 1.5, columns * 1.5, edge], axis=-1)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_level_is_further_from_the_image_than_the_one_before(picture, name):
    distances = []
    for level in LEVELS:
        spoiled = CORRUPTIONS[name](picture, level, np.random.default_rng(0))
        assert spoiled.shape == picture.shape
        assert spoiled.min() >= 0
        assert spoiled.max() <= 255
        distances.append(np.abs(spoiled - picture).mean())
    assert distances == sorted(distances)
    assert distances[0] > 0


def test_the_levels_are_those_of_imagenet_c(picture):
    gray = np.full((224, 224, 3), 127.5)
    spoiled = CORRUPTIONS["noise"](gray, 2, np.random.default_rng(0))
    assert spoiled.std() / 255 == pytest.approx(0.12, rel=0.02)
    brighter = CORRUPTIONS["brightness"](gray, 3, np.random.default_rng(0))
    assert brighter == pytest.approx(127.5 + 0.3 * 255)
    point = np.zeros((225, 225, 3))
    point[112, 112] = 255
    spread = CORRUPTIONS["blur"](point, 4, np.random.default_rng(0))[..., 0]
    places = np.arange(225) - 112
    variance = (spread.sum(axis=0) * places**2).sum() / spread.sum()
    assert np.sqrt(variance) == pytest.approx(4 * 225 / 224, rel=0.02)


def test_a_model_is_measured_at_every_level(pretrained_model, stripes):
    report = tftune.measure_robustness(pretrained_model, stripes.train, ["jpeg", "blur"], limit=6)
    assert report.num_examples == 6
    assert {name: len(row) for name, row in report.spoiled.items()} == {"jpeg": 5, "blur": 5}
    again = tftune.measure_robustness(pretrained_model, stripes.train, ["jpeg", "blur"], limit=6)
    assert again.to_json() == report.to_json()
    assert "Resized as on a phone" in str(report)
    axes = report.plot().axes[0]
    assert "level" in axes.get_xlabel()
    with pytest.raises(ConfigError, match="Did you mean 'noise'"):
        tftune.measure_robustness(pretrained_model, stripes.test, ["nois"])


def _evaluated(split, right):
    outputs = np.full((len(split), split.num_classes), 0.1)
    chosen = np.where(right, split.labels, (split.labels + 1) % split.num_classes)
    outputs[np.arange(len(split)), chosen] = 0.8
    names = split.examples.names
    predictions = Predictions(
        split.labels, outputs, None, np.arange(len(split)), names, split.examples.fingerprints
    )
    return evaluate_predictions(predictions, "multiclass", split.class_names)


def test_the_worst_slice_is_named(stripes):
    split = stripes.train.take(np.arange(180) % 18)
    camera = np.where(np.arange(180) < 60, "old", "new")
    right = np.ones(180, bool)
    right[:30] = False
    evaluation = _evaluated(split, right)
    light = np.arange(180) % 20 / 20  # numbers that say nothing
    report = tftune.measure_slices(evaluation, split, {"camera": camera, "light": light})
    assert (report.worst.column, report.worst.value) == ("camera", "old")
    assert report.worst.score.value == 0.5
    assert report.worst.p_value < 1e-6
    assert "Worst: camera = old" in str(report)
    assert sum(s.column == "light" for s in report.slices) == 4
    assert min(s.p_value for s in report.slices if s.column == "light") == 1


def test_small_slices_are_left_out_and_bad_columns_refused(stripes):
    split = stripes.train
    evaluation = _evaluated(split, np.ones(18, bool))
    report = tftune.measure_slices(evaluation, split, {"site": ["a"] * 9 + ["b"] * 9})
    assert report.worst is None
    assert report.left_out == 2
    with pytest.raises(ConfigError, match="at least one column"):
        tftune.measure_slices(evaluation, split)
    with pytest.raises(ShapeError, match="18 entries"):
        tftune.measure_slices(evaluation, split, {"site": ["a"]})
    with pytest.raises(DataError, match="predictions"):
        tftune.measure_slices(dataclasses.replace(evaluation, predictions=None), split)


def test_a_table_keeps_its_other_columns_with_their_examples(stripes_folder, tmp_path):
    paths = sorted(stripes_folder.rglob("*.png"))
    rows = [f"{path},{path.parent.name},{path.stem},{index}" for index, path in enumerate(paths)]
    table = tmp_path / "t.csv"
    table.write_text("path,label,camera,number\n" + "\n".join(rows))
    data = tftune.load_image_table(table)
    for split in data.splits.values():
        assert set(split.columns) == {"camera", "number"}
        for path, camera in zip(split.examples.paths, split.columns["camera"], strict=True):
            assert path.endswith(f"{camera}.png")
    turned = data.train.take([2, 0])
    assert turned.columns["number"][0] == data.train.columns["number"][2]
