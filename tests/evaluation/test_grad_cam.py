"""Grad-CAM finds what a network was built to look at."""

import keras
import numpy as np
import pytest

import tftune
from tftune.errors import ConfigError, ShapeError

_SIDE = 16


@pytest.fixture(scope="module")
def colour_model():
    """A network that by construction answers "red" by red pixels and "blue" by blue ones.

    Its feature map is the image's channels, pooled and weighed: +1 for the class's own channel,
    -1 for the other's. So Grad-CAM of "red" is the red channel minus the blue one, where positive.
    """
    inputs = keras.Input((_SIDE, _SIDE, 3))
    copy = keras.layers.Conv2D(3, 1, use_bias=False, name="copy")
    halve = keras.layers.AveragePooling2D(2, name="halve")
    backbone = keras.Model(inputs, halve(copy(inputs)))
    copy.set_weights([np.eye(3).reshape(1, 1, 3, 3)])
    images = np.zeros((8, _SIDE, _SIDE, 3), np.uint8)
    data = tftune.load_image_arrays(
        images, np.arange(8) % 2, ["blue", "red"], validation_share=0, test_share=0
    )
    model = tftune.build_image_classifier(
        backbone, data, image_size=(_SIDE, _SIDE), preprocessing="inside"
    )
    kernel = np.array([[-1.0, 1.0], [0.0, 0.0], [1.0, -1.0]]) * 0.1
    model.keras_model.get_layer("logits").set_weights([kernel, np.zeros(2)])
    return model


@pytest.fixture
def red_and_blue():
    pixels = np.zeros((_SIDE, _SIDE, 3), np.float32)
    pixels[2:6, 2:6, 0] = 200  # a red square, top left
    pixels[10:14, 8:14, 2] = 200  # a larger blue one, bottom right
    return pixels


@pytest.mark.parametrize("method", ["grad-cam", "grad-cam++"])
def test_the_heatmap_of_a_colour_is_where_that_colour_is(colour_model, red_and_blue, method):
    red = tftune.grad_cam(colour_model, red_and_blue, "red", method=method)
    expected = np.zeros((8, 8))
    expected[1:3, 1:3] = 1
    np.testing.assert_allclose(red.values, expected, atol=1e-6)
    blue = tftune.grad_cam(colour_model, red_and_blue, "blue", method=method)
    expected = np.zeros((8, 8))
    expected[5:7, 4:7] = 1
    np.testing.assert_allclose(blue.values, expected, atol=1e-6)


def test_the_most_probable_class_is_explained_by_default(colour_model, red_and_blue):
    heatmap = tftune.grad_cam(colour_model, red_and_blue)
    assert heatmap.class_name == "blue"  # more of its pixels
    answer = colour_model.predict(red_and_blue)
    assert heatmap.probability == pytest.approx(answer["blue"], rel=1e-5)
    row, column = np.unravel_index(heatmap.resized.argmax(), (16, 16))
    assert 10 <= row < 14
    assert 8 <= column < 14
    assert "'blue'" in str(heatmap)
    assert len(heatmap.plot().axes) == 3
    assert heatmap.overlay().dtype == np.uint8


def test_every_stage_of_a_backbone_can_be_looked_at(pretrained_model, stripes):
    path = stripes.test.examples.paths[0]
    shapes = []
    for stage in pretrained_model.stages:
        heatmap = tftune.grad_cam(pretrained_model, path, stage=stage.name, method="grad-cam++")
        assert heatmap.stage == stage.name
        assert 0 <= heatmap.values.min() <= heatmap.values.max() <= 1
        shapes.append(heatmap.values.shape)
    assert shapes[0] > shapes[-1]


def test_what_cannot_be_explained_is_refused(colour_model, red_and_blue):
    with pytest.raises(ConfigError, match="Did you mean 'red'"):
        tftune.grad_cam(colour_model, red_and_blue, "rde")
    with pytest.raises(ConfigError, match="`stage` must be one of"):
        tftune.grad_cam(colour_model, red_and_blue, stage="block99")
    with pytest.raises(ConfigError, match=r"`method`.*grad-cam\+\+"):
        tftune.grad_cam(colour_model, red_and_blue, method="cam")
    with pytest.raises(ShapeError):
        tftune.grad_cam(colour_model, red_and_blue[..., 0])
