"""What every registered backbone keeps: registering a preset tests it."""

import importlib
import math

import keras
import numpy as np
import pytest

import tftune
from tftune.builders.backbones import preprocess
from tftune.builders.presets import PRESETS
from tftune.builders.stages import cut_points
from tftune.training.sentinel import promised_variables

# Built in the default suite; all others are as slow as they are large.
SMALL = ("efficientnet_lite0", "mobilenet", "mobilenet_v3_small", "vgg16")
ALL = [
    pytest.param(name, marks=() if name in SMALL else pytest.mark.slow) for name in sorted(PRESETS)
]
LARGEST_FILE = 60_000_000  # parameters; writing and reading larger ones proves nothing new


def side_of(name):
    return 75 if name.startswith(("inception", "xception")) else 32


def keras_module(preset):
    """Find the module of keras.applications that publishes the preset's `preprocess_input`."""
    module = getattr(keras.applications, preset.factory).__module__.rpartition(".")[2]
    return importlib.import_module(f"keras.applications.{module}")


@pytest.fixture(scope="module", params=ALL)
def model(request):
    keras.utils.set_random_seed(0)
    side = side_of(request.param)
    built = tftune.build_image_classifier(
        request.param, class_names=["a", "b", "c"], image_size=(side, side), weights=None
    )
    yield built
    keras.backend.clear_session()


@pytest.fixture
def pixels(model):
    side = model.image_input.image_size[0]
    return np.random.default_rng(0).uniform(0, 255, (2, side, side, 3)).astype(np.float32)


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"efficientnet_lite0"}))
def test_preprocessing_is_the_one_keras_applications_publishes(name):
    image = keras.Input((5, 7, 3))
    prepared = preprocess(image, PRESETS[name].preprocessing)
    # Some backbones do it themselves, and a model needs at least one operation.
    ours = keras.Model(image, keras.layers.Identity()(prepared))
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 5, 7, 3)).astype(np.float32)
    expected = keras_module(PRESETS[name]).preprocess_input(pixels.copy())
    # One float32 rounding of values up to 255.
    np.testing.assert_allclose(ours(pixels), expected, atol=2e-5)


@pytest.mark.parametrize(
    "name", ["mobilenet", *(pytest.param(n, marks=pytest.mark.slow) for n in
             ("vgg16", "resnet50", "densenet121", "mobilenet_v3_small", "efficientnet_b0"))]
)  # fmt: skip
def test_a_backbone_on_raw_pixels_equals_keras_own_after_preprocess_input(name, tmp_path):
    preset = PRESETS[name]
    reference = getattr(keras.applications, preset.factory)(
        include_top=False, weights=None, input_shape=(32, 32, 3)
    )
    reference.save_weights(tmp_path / "reference.weights.h5")
    model = tftune.build_image_classifier(
        name,
        class_names=["a", "b"],
        image_size=(32, 32),
        weights=tmp_path / "reference.weights.h5",
    )
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    expected = reference(keras_module(preset).preprocess_input(pixels.copy()), training=False)
    scale = float(np.abs(expected).max())
    np.testing.assert_allclose(
        model.backbone(pixels, training=False), expected, atol=1e-5 * max(scale, 1.0)
    )


def test_the_parameters_are_those_promised(model):
    assert model.backbone.count_params() == PRESETS[model.preset].parameters


def test_raw_pixels_become_a_probability_for_each_class(model, pixels):
    probabilities = np.asarray(model.keras_model(pixels, training=False))
    assert probabilities.shape == (2, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_the_graph_is_flat_and_every_operation_is_called_once(model):
    assert not any(type(layer).__name__ == "Functional" for layer in model.keras_model.layers)
    names = [operation.name for operation in model.keras_model.operations]
    assert len(names) == len(set(names))


def test_stages_hold_every_operation_once_and_all_parameters(model):
    held = [name for stage in model.stages for name in stage.layers]
    operations = [op.name for op in model.backbone.operations if op.name != "image"]
    assert held == operations
    assert sum(stage.parameters for stage in model.stages) == PRESETS[model.preset].parameters
    assert len({stage.name for stage in model.stages}) == len(model.stages) >= 2
    assert all(stage.flops > 0 for stage in model.stages)
    points = [point.layer for point in cut_points(model.backbone)]
    assert {stage.boundary.layer for stage in model.stages} <= set(points)


def test_trunk_and_top_together_are_the_whole_network_at_every_stage(model, pixels):
    expected = np.asarray(model.logits_model(pixels, training=False))
    for boundary in [stage.boundary.layer for stage in model.stages[1:]] + ["pooled"]:
        trunk, top = model.cut(boundary)
        received = np.asarray(top(trunk.keras_model(pixels, training=False), training=False))
        # The same operations in the same order.
        np.testing.assert_array_equal(received, expected)


def test_a_new_model_trains_its_head_alone(model):
    assert {v.path.split("/")[0] for v in model.keras_model.trainable_variables} == {"logits"}


def test_unfreezing_trains_the_weights_of_the_stage_but_no_batch_norm(model):
    model.set_trainable(1)
    trained = {layer.name for layer in model.keras_model.layers if layer.trainable_weights}
    model.set_trainable("none")
    batch_norms = {
        layer.name
        for layer in model.keras_model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    }
    assert len(trained) > 1
    assert trained - {"logits"} <= set(model.stages[-1].layers) - batch_norms


def test_unfreezing_everything_trains_what_a_phase_promises_to_move(model):
    model.set_trainable("all")
    trained = {v.path for v in model.keras_model.trainable_variables}
    promised = {v.path for v in promised_variables(model, "all")}
    model.set_trainable("none")
    assert trained == promised


def test_a_saved_model_loads_in_plain_keras_with_equal_answers(model, pixels, tmp_path):
    if model.backbone.count_params() > LARGEST_FILE:
        pytest.skip("the file would take a gigabyte; smaller ones of the family are tested")
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(
        loaded(pixels, training=False), model.keras_model(pixels, training=False)
    )


def test_the_summary_shows_every_stage_within_80_columns(model):
    shown = str(model)
    assert all(stage.name in shown for stage in model.stages)
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_operations_at_the_default_size_are_those_listed(name):
    preset = PRESETS[name]
    model = tftune.build_image_classifier(name, class_names=["a", "b"], weights=None)
    assert round(sum(stage.flops for stage in model.stages) / 1e6) == preset.mflops
    keras.backend.clear_session()


def test_figures_have_their_source():
    for preset in PRESETS.values():
        assert (preset.top1 is None) == (not preset.top1_source)
        assert preset.int8_reason
        assert math.prod(preset.image_size) > 0
