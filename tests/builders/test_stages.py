"""Networks are cut where one tensor is alive, into stages with familiar names."""

import keras
import numpy as np
import pytest

from tftune.builders.backbones import build_backbone
from tftune.builders.presets import PRESETS
from tftune.builders.stages import cut_points, find_stages, unfrozen_stages
from tftune.errors import ConfigError


@pytest.fixture(scope="module")
def backbones():
    sides = {"inception_v3": 75}
    return {
        name: build_backbone(preset, (sides.get(name, 64),) * 2, None)
        for name, preset in PRESETS.items()
    }


def test_no_cut_point_lies_inside_a_branch():
    image = keras.Input((8, 8, 3), name="image")
    first = keras.layers.Conv2D(4, 1, name="first")(image)
    left = keras.layers.Conv2D(4, 1, name="left")(first)
    right = keras.layers.Conv2D(4, 1, name="right")(first)
    joined = keras.layers.Add(name="joined")([left, right])
    last = keras.layers.ReLU(name="last")(joined)
    skipped = keras.layers.Add(name="skipped")([last, first])
    model = keras.Model(image, skipped)
    # "first" is still needed at the end, so nothing between it and the last sum is a cut.
    assert [point.layer for point in cut_points(model)] == ["image", "first", "skipped"]


@pytest.mark.parametrize(
    ("name", "top", "boundary"),
    [
        ("vgg16", "block5", "block4_pool"),
        ("resnet50", "conv5", "conv4_block6_out"),
        ("inception_v3", "mixed10", "mixed9"),
        ("efficientnet_lite0", "top", "block7a_project_bn"),
    ],
)
def test_the_top_stage_is_named_and_cut_as_the_network_names_it(backbones, name, top, boundary):
    stages = find_stages(backbones[name])
    assert stages[-1].name == top
    assert stages[-1].boundary.layer == boundary


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_stages_hold_every_operation_once_and_every_parameter(backbones, name):
    backbone = backbones[name]
    stages = find_stages(backbone)
    names = [layer for stage in stages for layer in stage.layers]
    assert sorted(names) == sorted(operation.name for operation in backbone.operations[1:])
    assert sum(stage.parameters for stage in stages) == backbone.count_params()
    assert len({stage.name for stage in stages}) == len(stages)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_trunk_then_top_is_the_whole_network_at_every_stage(backbones, name):
    backbone = backbones[name]
    pixels = np.random.default_rng(0).uniform(0, 255, (1, *backbone.input_shape[1:]))
    expected = np.asarray(backbone(pixels.astype(np.float32)))
    for stage in find_stages(backbone)[-3:]:
        tensor = backbone.get_layer(stage.boundary.layer).output
        trunk = keras.Model(backbone.input, tensor)
        top = keras.Model(tensor, backbone.output)
        np.testing.assert_array_equal(top(trunk(pixels.astype(np.float32))), expected)


def test_flops_are_those_of_a_convolution_worked_by_hand():
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Conv2D(4, 3, padding="same", name="block1_conv")(image))
    (stage,) = find_stages(model)
    assert stage.flops == 2 * (8 * 8) * (3 * 3 * 3) * 4


def test_unfreeze_takes_counts_shares_and_names(backbones):
    stages = find_stages(backbones["vgg16"])
    assert unfrozen_stages(stages, "none") == ()
    assert unfrozen_stages(stages, "all") == stages
    assert [s.name for s in unfrozen_stages(stages, 2)] == ["block4", "block5"]
    assert [s.name for s in unfrozen_stages(stages, "block5")] == ["block5"]
    assert [s.name for s in unfrozen_stages(stages, 0.6)] == ["block5"]
    assert [s.name for s in unfrozen_stages(stages, 0.01)] == ["block5"]


@pytest.mark.parametrize(
    ("unfreeze", "sentence"),
    [
        ("blok5", "Did you mean 'block5'"),
        (99, "between 0 and"),
        (1.5, r"in \(0, 1\)"),
        (True, "string or a number"),
    ],
)
def test_unfreeze_refuses_what_names_no_stage(backbones, unfreeze, sentence):
    with pytest.raises(ConfigError, match=sentence):
        unfrozen_stages(find_stages(backbones["vgg16"]), unfreeze)
