"""Heads of every task: their layers, their answers and their temperature."""

import keras
import numpy as np
import pytest
from PIL import Image

import tftune
from tftune.builders.heads import attach_heads, head_specs, pool_features
from tftune.builders.transfer_model import TransferModel
from tftune.config.image_input import ImageInput
from tftune.config.model_spec import ModelSpec
from tftune.data.dataset import ImageFiles, Split
from tftune.data.targets import Target
from tftune.errors import ConfigError, DataError

AGES = np.array([[20.0, 1.0], [40.0, 1.0], [np.nan, 1.0]], np.float32)
TARGETS = (
    Target("species", "multiclass", ("cat", "dog"), np.array([0, 1, -1])),
    Target("traits (all)", "multilabel", ("old", "wet", "loud"), np.zeros((3, 3), np.float32)),
    Target("age", "regression", ("years", "fixed"), AGES),
)


def small_model(targets, **head):
    """Put heads on a backbone of one convolution."""
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Rescaling(1 / 255, name="preprocessing")(image)
    x = keras.layers.Conv2D(4, 3, name="block1_conv")(x)
    heads = head_specs(targets, head.pop("ordered", False))
    pooling = head.pop("pooling", "average")
    outputs = attach_heads(pool_features(x, pooling), heads, **head)
    spec = ModelSpec("small", ImageInput((8, 8)), "block1_conv", "pooled", heads)
    return TransferModel(keras.Model(image, outputs), spec)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 3)).astype(np.float32)


def test_several_heads_answer_by_name_each_in_its_own_way(pixels):
    model = small_model(TARGETS)
    outputs = model.predict_probabilities(pixels)
    assert {name: rows.shape for name, rows in outputs.items()} == {
        "species": (4, 2),
        "traits (all)": (4, 3),
        "age": (4, 2),
    }
    np.testing.assert_allclose(outputs["species"].sum(axis=1), 1, atol=1e-6)
    answer = model.predict(pixels[0])
    assert sorted(answer["species"]) == ["cat", "dog"]
    assert list(answer["age"]) == ["years", "fixed"]
    traits = list(answer["traits (all)"].values())
    assert traits == sorted(traits, reverse=True) and sum(traits) != pytest.approx(1)


def test_logits_come_by_head_for_several_heads_and_give_the_outputs(pixels):
    model = small_model(TARGETS)
    model.temperature = {"species": 2.0, "traits (all)": 0.5}
    logits = {k: np.asarray(v) for k, v in model.logits_model(pixels).items()}
    assert set(logits) == {head.name for head in model.heads}
    _, top = model.cut("pooled")
    assert set(top.output) == set(logits)
    outputs = model.predict_probabilities(pixels)
    for name, rows in model.outputs_from_logits(logits).items():
        # float32 against float64 arithmetic
        np.testing.assert_allclose(rows, outputs[name], rtol=2e-6, atol=1e-6)


def test_a_regression_head_starts_at_the_scale_of_its_targets():
    model = small_model(TARGETS[2:])
    head = model.heads[0]
    assert head.offset == (30.0, 1.0)
    assert head.scale == (10.0, 1.0)  # a quantity that never changes has no scale of its own
    model.keras_model.get_layer("logits").set_weights([np.zeros((4, 2)), np.array([1.0, 0.0])])
    np.testing.assert_allclose(
        model.predict_probabilities(np.zeros((1, 8, 8, 3), np.float32)), [[40.0, 1.0]]
    )


def test_the_temperature_softens_answers_at_once_and_is_saved(pixels, tmp_path):
    model = small_model(TARGETS[:1])
    assert model.temperature == 1.0
    before = model.forward(pixels).numpy()
    logits = np.asarray(model.logits_model(pixels))
    model.temperature = 4.0
    assert model.temperature == 4.0
    expected = np.asarray(keras.ops.softmax(logits / 4))
    for after in (
        model.forward(pixels).numpy(),
        model.predict_probabilities(pixels),
        np.asarray(model.keras_model(pixels)),
    ):
        np.testing.assert_allclose(after, expected, atol=1e-6)
        assert not np.allclose(after, before)
    model.save(tmp_path / "m.keras")
    loaded = tftune.load(tmp_path / "m.keras")
    assert loaded.temperature == 4.0
    np.testing.assert_allclose(loaded.predict_probabilities(pixels), expected, atol=1e-6)


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), {"size": 2.0}])
def test_a_temperature_that_is_none_is_refused(value):
    model = small_model(TARGETS[:1])
    with pytest.raises(ConfigError, match="`temperature` must be a number above 0"):
        model.temperature = value


def test_a_model_of_every_task_survives_saving(pixels, tmp_path):
    model = small_model(TARGETS, hidden=(5,), pooling="concat")
    model.save(tmp_path / "m.keras")
    loaded = tftune.load(tmp_path / "m.keras")
    assert loaded.spec == model.spec
    expected = model.predict_probabilities(pixels)
    for name, rows in loaded.predict_probabilities(pixels).items():
        np.testing.assert_array_equal(rows, expected[name])


@pytest.mark.parametrize(("pooling", "width"), [("average", 4), ("max", 4), ("concat", 8)])
def test_pooling_takes_the_mean_the_maximum_or_both(pooling, width, pixels):
    model = small_model(TARGETS[:1], pooling=pooling)
    features = np.asarray(model.backbone(pixels))
    parts = {"average": features.mean(axis=(1, 2)), "max": features.max(axis=(1, 2))}
    parts["concat"] = np.concatenate([parts["average"], parts["max"]], axis=1)
    pooled = keras.Model(model.keras_model.input, model.keras_model.get_layer("pooled").output)
    assert model.keras_model.get_layer("logits").kernel.shape[0] == width
    np.testing.assert_allclose(pooled(pixels), parts[pooling], rtol=1e-5, atol=1e-6)


def test_hidden_layers_have_the_units_asked_for_and_train():
    model = small_model(TARGETS[:1], hidden=(7, 5), activation="gelu", dropout=0.5)
    model.set_trainable("none")
    shapes = [tuple(v.shape) for v in model.keras_model.trainable_variables]
    assert shapes == [(4, 7), (7,), (7, 5), (5,), (5, 2), (2,)]
    assert model.keras_model.get_layer("head_hidden_1").activation is keras.activations.gelu
    assert model.keras_model.get_layer("head_dropout_2").rate == 0.5


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"dropout": 1.0}, r"`dropout` must be in \[0, 1\)"),
        ({"hidden": (0,)}, "`hidden` must be numbers of units"),
        ({"hidden": 256}, "`hidden` must be numbers of units"),
        ({"activation": "rely"}, "`activation` must be one that Keras knows"),
        ({"pooling": "mean"}, "'average', 'max', 'concat'"),
        ({"task": "ranking"}, "`task` must be one of"),
        ({"class_names": ["a"], "task": "multiclass"}, "at least two different class names"),
        ({"class_names": [], "task": "regression"}, "different class names"),
    ],
)
def test_a_head_that_cannot_be_is_refused(settings, sentence):
    arguments = {"class_names": ["a", "b"], "weights": None, "image_size": (32, 32), **settings}
    with pytest.raises(ConfigError, match=sentence):
        tftune.build_image_classifier("mobilenet_v3_small", **arguments)


def test_the_title_says_what_each_head_answers():
    assert "small for species (2 classes), traits (all) (3 labels), age (2 values)" in str(
        small_model(TARGETS)
    )


def test_evaluating_measures_every_head(tmp_path):
    paths = []
    for index, shade in enumerate((0, 120, 250)):
        Image.new("RGB", (8, 8), (shade, 255 - shade, 40)).save(tmp_path / f"{index}.png")
        paths.append(str(tmp_path / f"{index}.png"))
    split = Split("test", ImageFiles(tuple(paths)), TARGETS)
    evaluation = tftune.evaluate(small_model(TARGETS), split)
    assert [evaluation.head, *(other.head for other in evaluation.others)] == [
        "species",
        "traits (all)",
        "age",
    ]
    assert evaluation.num_examples == 2  # the third has no known species
    assert evaluation.others[1].per_class["years"]["support"] == 2
    assert "Evaluation of 'age' on test" in str(evaluation)
    assert max(map(len, str(evaluation).splitlines())) <= 80
    other = Split("test", split.examples, TARGETS[:1])
    with pytest.raises(DataError, match="targets must be the model's"):
        tftune.evaluate(small_model(TARGETS), other)


GRADES = Target("grade", "multiclass", ("none", "mild", "bad", "worst"), np.array([0, 1, 3]))


def test_an_ordered_head_never_finds_a_further_step_more_probable(pixels, tmp_path):
    model = small_model((GRADES,), ordered=True)
    generator = np.random.default_rng(0)
    layer = model.keras_model.get_layer("steps")
    layer.set_weights([generator.normal(0, 9, w.shape) for w in layer.get_weights()])
    probabilities = model.predict_probabilities(pixels)
    assert probabilities.shape == (4, 4)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    beyond = 1 - np.cumsum(probabilities.astype(np.float64), axis=1)[:, :3]
    # By definition: a product over steps of the probability of getting further.
    steps = keras.Model(model.keras_model.input, layer.output)(pixels)
    expected = np.cumprod(1 / (1 + np.exp(-np.asarray(steps, np.float64))), axis=1)
    np.testing.assert_allclose(beyond, expected, atol=1e-6)
    # Logits are the log-probabilities, and plain Keras loads the file.
    np.testing.assert_allclose(np.exp(model.logits_model(pixels)), probabilities, atol=1e-6)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")(pixels)
    np.testing.assert_allclose(again, probabilities, atol=1e-6)
    assert tftune.load(tmp_path / "m.keras").heads[0].ordered


def test_only_one_class_an_example_can_be_ordered():
    heads = head_specs((GRADES, *TARGETS[1:]), ["grade"])
    assert [head.ordered for head in heads] == [True, False, False]
    for ordered in (True, ["age"], "nothing"):
        with pytest.raises(ConfigError, match="`ordered` must be True or name targets"):
            head_specs((GRADES, TARGETS[2]), ordered)
