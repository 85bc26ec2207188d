"""Networks are cut where one tensor is alive, into stages with familiar names."""

import keras
import numpy as np
import pytest

from tftune.builders.backbones import build_backbone
from tftune.builders.presets import PRESETS
from tftune.builders.stages import cut_points, find_stages, unfrozen_stages
from tftune.errors import ConfigError

NAMED = ("efficientnet_lite0", "inception_v3", "resnet50", "vgg16")


@pytest.fixture(scope="module")
def backbones():
    sides = {"inception_v3": 75}
    return {name: build_backbone(PRESETS[name], (sides.get(name, 64),) * 2, None) for name in NAMED}


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


@pytest.mark.parametrize("name", NAMED)
def test_stages_hold_every_operation_once_and_every_parameter(backbones, name):
    backbone = backbones[name]
    stages = find_stages(backbone)
    names = [layer for stage in stages for layer in stage.layers]
    assert sorted(names) == sorted(operation.name for operation in backbone.operations[1:])
    assert sum(stage.parameters for stage in stages) == backbone.count_params()
    assert len({stage.name for stage in stages}) == len(stages)


@pytest.mark.parametrize("name", NAMED)
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


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("mobilenet", ["conv1", *(f"block_{n}" for n in range(1, 14))]),
        ("mobilenet_v3_small", ["stem", "expanded_conv", "expanded_conv_10", "conv_1"]),
        ("xception", [f"block{n}" for n in range(1, 15)]),
        ("densenet121", ["conv1", "conv2", "conv3", "conv4", "conv5"]),
        pytest.param("nasnet_mobile", ["stem", "cells"], marks=pytest.mark.slow),
        ("convnext_tiny", ["stem", "stage_0", "stage_1", "stage_2", "stage_3"]),
        pytest.param(
            "inception_resnet_v2",
            ["stem", "mixed_5b", "block35", "mixed_6a", "block17", "mixed_7a", "block8", "conv_7b"],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "mobilenet_v2",
            ["Conv1", "expanded_conv", "block_1", "block_16", "Conv_1"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_stages_carry_the_names_that_users_of_the_network_know(name, stages):
    found = [s.name for s in find_stages(build_backbone(PRESETS[name], (75, 75), None))]
    assert [stage for stage in found if stage in stages] == stages
    assert (found[0], found[-1]) == (stages[0], stages[-1])


def test_a_network_without_names_has_a_stage_at_each_resolution():
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(image)
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(x)
    x = keras.layers.Conv2D(4, 3, padding="same")(x)
    x = keras.layers.MaxPooling2D()(x)
    stages = find_stages(keras.Model(image, x))
    assert [(s.name, s.output.shape) for s in stages] == [
        ("stage_1", (32, 32, 4)),
        ("stage_2", (16, 16, 4)),
        ("stage_3", (8, 8, 4)),
    ]
