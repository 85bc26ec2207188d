"""A model predicts, saves, loads and cuts itself without changing its answers."""

import keras
import numpy as np
import pytest
from PIL import Image

import tftune
from tftune.builders.trunk import Trunk
from tftune.config.image_input import ImageInput
from tftune.errors import ConfigError, DataError, ModelFileError, OutputExistsError, ShapeError


@pytest.fixture
def pixels():
    return np.random.default_rng(0).uniform(0, 255, (3, 64, 64, 3)).astype(np.float32)


def test_a_loaded_model_gives_equal_predictions(pretrained_model, pixels, tmp_path):
    pretrained_model.save(tmp_path / "m.keras")
    loaded = tftune.load(tmp_path / "m.keras")
    assert loaded.spec == pretrained_model.spec
    np.testing.assert_array_equal(
        loaded.predict_probabilities(pixels), pretrained_model.predict_probabilities(pixels)
    )
    loaded.save(tmp_path / "again.keras")
    assert tftune.load(tmp_path / "again.keras").spec == loaded.spec


def test_plain_keras_loads_the_file_too(pretrained_model, pixels, tmp_path):
    pretrained_model.save(tmp_path / "m.keras")
    plain = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(
        plain.predict(pixels, verbose=0), pretrained_model.predict_probabilities(pixels)
    )


def test_a_cut_model_shares_its_weights_and_its_trunk_is_named_by_content(pretrained_model):
    trunk, top = pretrained_model.cut("block6d_add")
    again, _ = pretrained_model.cut("block6d_add")
    other, _ = pretrained_model.cut("block5c_add")
    assert trunk.fingerprint == again.fingerprint != other.fingerprint
    assert top.get_layer("logits") is pretrained_model.keras_model.get_layer("logits")


def test_a_trunk_keeps_its_fingerprint_whatever_is_set_to_train(pretrained_model):
    before = pretrained_model.cut("pooled")[0].fingerprint
    pretrained_model.set_trainable("all")
    after = pretrained_model.cut("pooled")[0].fingerprint
    pretrained_model.set_trainable("none")
    assert before == after


def test_a_trunk_says_what_an_example_costs(pretrained_model):
    trunk, _ = pretrained_model.cut("pooled")
    lower = pretrained_model.stages[-2].boundary.layer
    below, _ = pretrained_model.cut(lower)
    assert trunk.flops == sum(stage.flops for stage in pretrained_model.stages)
    assert trunk.above(lower).flops == trunk.flops - below.flops > 0


def test_a_trunk_keeps_its_fingerprint_in_a_loaded_model(pretrained_model, tmp_path):
    pretrained_model.save(tmp_path / "m.keras")
    loaded = tftune.load(tmp_path / "m.keras")
    assert loaded.cut("pooled")[0].fingerprint == pretrained_model.cut("pooled")[0].fingerprint


def test_a_trunk_keeps_its_fingerprint_however_keras_counted_its_layers():
    def trunk():
        keras.utils.set_random_seed(0)
        image = keras.Input((16, 16, 3), name="image")
        features = keras.layers.Conv2D(4, 3)(keras.layers.Conv2D(4, 3)(image))  # auto-named
        network = keras.Model(image, features)
        return Trunk(network, network.layers[-1].name, ImageInput((16, 16)), network)

    first, second = trunk(), trunk()
    assert first.boundary != second.boundary
    assert first.fingerprint == second.fingerprint


def test_predict_takes_a_path_an_array_or_several(pretrained_model, stripes):
    path = stripes.test.examples.paths[0]
    array = np.asarray(Image.open(path))
    one = pretrained_model.predict(path)
    assert list(one.values()) == sorted(one.values(), reverse=True)
    assert sum(one.values()) == pytest.approx(1, abs=1e-6)
    assert pretrained_model.predict(array) == one
    two = pretrained_model.predict([path, array])
    assert [list(answer) for answer in two] == [list(one), list(one)]
    assert pretrained_model.predict([]) == []


@pytest.mark.parametrize(
    ("content", "sentence"), [(b"", "cannot be decoded"), (b"not an image", "cannot be decoded")]
)
def test_predict_refuses_a_file_that_is_no_image(pretrained_model, tmp_path, content, sentence):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        pretrained_model.predict(tmp_path / "a.jpg")


def test_predict_refuses_a_missing_file_and_a_gray_array(pretrained_model, tmp_path):
    with pytest.raises(DataError, match="No such file"):
        pretrained_model.predict(tmp_path / "none.jpg")
    with pytest.raises(ShapeError, match=r"\(height, width, 3\)"):
        pretrained_model.predict([np.zeros((8, 8))])


def test_a_file_that_tftune_did_not_write_is_refused(tmp_path):
    with pytest.raises(ModelFileError, match="There is no model"):
        tftune.load(tmp_path / "none.keras")
    (tmp_path / "bad.keras").write_bytes(b"zip?")
    with pytest.raises(ModelFileError, match="is not a model that tftune saved"):
        tftune.load(tmp_path / "bad.keras")
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "plain.keras")
    with pytest.raises(ModelFileError, match="is not a model that tftune saved"):
        tftune.load(tmp_path / "plain.keras")


def test_save_refuses_a_wrong_name_and_keeps_a_file_it_may_not_replace(pretrained_model, tmp_path):
    with pytest.raises(ConfigError, match=r"end in '\.keras'"):
        pretrained_model.save(tmp_path / "m.h5")
    (tmp_path / "m.keras").write_text("mine")
    with pytest.raises(OutputExistsError):
        pretrained_model.save(tmp_path / "m.keras", overwrite=False)
    assert (tmp_path / "m.keras").read_text() == "mine"


def test_a_new_model_is_frozen_but_for_its_head(pretrained_model):
    trained = {v.path.split("/")[0] for v in pretrained_model.keras_model.trainable_variables}
    assert trained == {"logits"}


def test_a_head_needs_two_different_class_names():
    with pytest.raises(ConfigError, match="at least two different class names"):
        tftune.build_image_classifier("vgg16", class_names=["a", "a"], weights=None)


def test_the_printed_model_shows_its_stages(pretrained_model):
    shown = str(pretrained_model)
    assert "efficientnet_lite0 for 3 classes, 64 x 64 pixels" in shown
    assert "block6" in shown
    assert max(map(len, shown.splitlines())) <= 80
