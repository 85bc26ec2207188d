"""Words are measured by leaving them out: on an encoder whose right answer is known."""

import numpy as np
import pytest
import tensorflow as tf

import tftune
from tftune.errors import ConfigError

WORDS = ("good", "bad")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model that counts: its vector is how often "good" and "bad" occur, its logits those."""
    ones = tf.Variable(np.eye(2, dtype=np.float32), name="ones")

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="sentences")])
    def call(sentences):
        words = tf.strings.split(sentences)
        is_word = tf.stack([words.flat_values == word for word in WORDS], axis=1)
        counts = tf.math.unsorted_segment_sum(
            tf.cast(is_word, tf.float32), words.value_rowids(), words.nrows()
        )
        return counts @ ones

    module = tf.train.Checkpoint(ones=ones)
    module.__call__ = call
    module.variables, module.trainable_variables = [ones], [ones]
    folder = tmp_path_factory.mktemp("data") / "counts"
    tf.saved_model.save(module, str(folder), signatures={"serving_default": call})
    built = tftune.build_text_classifier(folder, class_names=("praise", "blame"))
    dense = built.keras_model.get_layer("logits")
    dense.set_weights([2 * np.eye(2, dtype=np.float32), np.zeros(2, np.float32)])
    return built


def test_each_word_gets_what_its_absence_takes_from_the_logit(model):
    found = tftune.attribute_words(model, "a good  film, very good\nnot bad", "praise")
    assert [part.strip() for part in found.parts] == "a good film, very good not bad".split()
    assert "".join(found.parts) == "a good  film, very good\nnot bad"
    np.testing.assert_allclose(found.values, [0, 2, 0, 0, 2, 0, 0], atol=1e-6)
    assert found.strongest(2) == [("good", 2.0), ("good", 2.0)]
    np.testing.assert_allclose(found.probability, 1 / (1 + np.exp(-2)), rtol=1e-5)


def test_the_most_probable_class_is_explained_by_default(model):
    found = tftune.attribute_words(model, "bad bad good")
    assert found.class_name == "blame"
    np.testing.assert_allclose(found.values, [2, 2, 0], atol=1e-6)


def test_words_of_a_long_text_are_left_out_together(model):
    found = tftune.attribute_words(model, "x " * 500 + "good", "praise", most_parts=10)
    assert len(found.parts) == 10
    np.testing.assert_allclose(found.values, [0] * 9 + [2], atol=1e-6)


def test_it_shows_as_text_as_coloured_words_and_as_bars(model):
    found = tftune.attribute_words(model, "good <b> bad", "praise")
    assert "good" in str(found)
    assert "&lt;b&gt;" in found._repr_html_()
    assert "<b> " not in found._repr_html_()
    (axes,) = found.plot().axes
    assert len(axes.patches) == 3
    assert axes.get_xlabel()


def test_what_cannot_be_explained_is_refused(model, small_model):
    with pytest.raises(ConfigError, match="must hold a word"):
        tftune.attribute_words(model, " \n")
    with pytest.raises(ConfigError, match="`class_name` must be"):
        tftune.attribute_words(model, "good", "prais")
    with pytest.raises(ConfigError, match="one that reads images"):
        tftune.attribute_words(small_model, "good")
