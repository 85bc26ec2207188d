"""Text encoders of every kind are built, trained from the cache, saved and asked."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tftune
from tftune.builders.bert_tokens import import_tensorflow_text
from tftune.builders.stages import cut_points
from tftune.config.text_input import TextInput
from tftune.data.pipeline import input_batches
from tftune.errors import ConfigError, DataError, WeightsError
from tftune.training.sentinel import promised_variables

GOOD, BAD = ("good", "great", "fine", "loved"), ("bad", "awful", "poor", "hated")
COMMON = ("a", "the", "film", "movie", "it", "was", "is", "and", "very", "today", "one", "two")


def opinions(count=60, longest=9):
    """Short texts that one word decides."""
    generator = np.random.default_rng(0)
    texts, labels = [], []
    for index in range(count):
        words = list(generator.choice(COMMON, generator.integers(1, longest)))
        words.append(str(generator.choice(GOOD if index % 2 else BAD)))
        generator.shuffle(words)
        texts.append(" ".join(words))
        labels.append("good" if index % 2 else "bad")
    return texts, labels


@pytest.fixture(scope="module")
def data():
    return tftune.load_texts(*opinions())


@pytest.fixture(scope="module")
def nnlm(write_string_encoder, tmp_path_factory):
    """Its table is pulled towards 0."""
    return write_string_encoder(tmp_path_factory.mktemp("data") / "nnlm", regularised=True)


@pytest.fixture
def bert(converted_bert, data):
    keras.utils.set_random_seed(0)
    return tftune.build_text_classifier(converted_bert, data)


def test_a_converted_bert_is_the_encoder_it_was_made_of(bert, converted_bert):
    texts = tf.constant(["a man is eating food .", "", "it was very good"])
    encoder = tf.saved_model.load(str(converted_bert / "encoder"))
    preprocessor = tf.saved_model.load(str(converted_bert / "preprocessor"))
    trunk, _ = bert.cut("pooled")
    np.testing.assert_allclose(
        trunk.forward(texts), encoder(preprocessor(texts))["default"], atol=1e-5
    )


def test_it_can_be_cut_between_its_layers(bert):
    assert [stage.name for stage in bert.stages] == ["embeddings", "layer_0", "layer_1"]
    names = [point.layer for point in cut_points(bert.keras_model)]
    assert {"embeddings", "layer_0", "layer_1", "pooled"} <= set(names)
    assert bert.boundary_below(1) == "layer_0"
    assert {w.path.split("/")[0] for w in promised_variables(bert, 1)} == {"layer_1", "logits"}


def test_a_cut_in_the_middle_changes_nothing(bert, data):
    texts = next(iter(input_batches(data.train.examples, bert.contract, 16)))
    trunk, top = bert.cut("layer_0")
    assert trunk.keras_model.output_shape == (None, 16, 17)
    np.testing.assert_allclose(
        top(trunk.forward(texts)), bert.logits_model(texts), rtol=1e-4, atol=1e-5
    )


def test_the_length_is_chosen_by_the_data(converted_bert):
    short = tftune.load_texts(["good film"] * 99 + ["bad " * 30], ["x", "y"] * 50)
    model = tftune.build_text_classifier(converted_bert, short)
    assert model.contract == TextInput(8, 1)
    model = tftune.build_text_classifier(converted_bert, short, sequence_length=40)
    assert model.contract == TextInput(40, 1)
    with pytest.raises(ConfigError, match="between 3 and 40"):
        tftune.build_text_classifier(converted_bert, short, sequence_length=41)


def test_two_phases_leave_lower_layers_alone_and_the_file_gives_the_same_answers(
    bert, data, tmp_path
):
    plan = tftune.plan(bert, data, head_epochs=3, fine_tune_epochs=4, unfreeze=1, batch_size=8)
    lower = bert.keras_model.get_layer("layer_0").get_weights()
    run = tftune.fine_tune(bert, data, plan, verbose=False)
    for before, after in zip(
        lower, bert.keras_model.get_layer("layer_0").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(before, after)
    assert "TF-IDF" in run.verdict.scores
    bert.save(tmp_path / "model.keras")
    again = tftune.load(tmp_path / "model.keras")
    asked = ["it was good", "the film is awful and the movie was bad"]
    for one, two in zip(bert.predict(asked), again.predict(asked), strict=True):
        assert one == pytest.approx(two, abs=1e-6)
    assert again.predict("it was good") == pytest.approx(bert.predict(asked)[0], abs=1e-6)


def test_training_from_the_cache_is_training_without_it(converted_bert, data):
    def trained(cache):
        keras.utils.set_random_seed(1)
        model = tftune.build_text_classifier(converted_bert, data, dropout=0.0)
        for layer in model.keras_model.layers:  # dropout draws by the length of a batch
            if hasattr(layer, "_drop"):
                layer._drop.rate = 0.0
            if hasattr(layer, "_drop_attention"):
                layer._drop_attention.rate = 0.0
        plan = tftune.plan(
            model, data, head_epochs=1, fine_tune_epochs=1, unfreeze=1, cache=cache, batch_size=4
        )
        plan = plan.replace(phases=[p.replace(start_from_probe=False) for p in plan.phases])
        tftune.fine_tune(model, data, plan, verbose=False)
        return model.logits_model(next(iter(input_batches(data.test.examples, model.contract))))

    np.testing.assert_allclose(trained("disk"), trained("off"), atol=1e-4)


def test_pairs_of_texts_reach_the_segments(converted_bert):
    texts, labels = opinions(24)
    pairs = tftune.load_texts([(text, "the movie") for text in texts], labels)
    model = tftune.build_text_classifier(converted_bert, pairs)
    assert model.contract.num_texts == 2
    assert set(model.predict(("it was good", "a film"))) == {"good", "bad"}
    swapped = model.cut("pooled")[0].forward(tf.constant([["a b", "c"], ["c", "a b"]])).numpy()
    assert np.abs(swapped[0] - swapped[1]).max() > 1e-3
    with pytest.raises(DataError, match="tuple of two strings"):
        model.predict(["one text"])


def test_the_floor_needs_no_download_and_says_it_is_not_pretrained(data):
    model = tftune.build_text_classifier("ngrams", data)
    plan = tftune.plan(model, data, head_epochs=2)
    assert plan.phases[-1].unfreeze == "all" or plan.stages[-1] == ("ngrams",)
    assert "not pretrained" in plan.reasons["unfreeze"]
    tftune.fine_tune(model, data, plan, verbose=False)
    assert tftune.evaluate(model, data.test).accuracy > 0.6
    assert np.isfinite(list(model.predict("?!").values())).all()


def test_an_encoder_of_strings_trains_whole_and_travels_in_the_file(nnlm, data, tmp_path):
    model = tftune.build_text_classifier(nnlm, data)
    texts = tf.constant(["good film", ""])
    loaded = tf.saved_model.load(str(nnlm))
    np.testing.assert_allclose(model.cut("pooled")[0].forward(texts), loaded(texts), atol=1e-6)
    plan = tftune.plan(model, data, head_epochs=1, fine_tune_epochs=1, fine_tune_rate=1e-2)
    assert "runs on every text in every epoch" in plan.reasons["cache"]
    tftune.fine_tune(model, data, plan.replace(calibrate=False), verbose=False)
    model.keras_model(texts, training=True)
    table = model.keras_model.get_layer("hub").get_weights()[0]
    (loss,) = model.keras_model.losses  # the SavedModel's regularisation
    np.testing.assert_allclose(loss, 0.5 * np.square(table).sum(), rtol=1e-5)
    model.save(tmp_path / "model.keras")
    answer = model.predict("a good film")
    nnlm.rename(nnlm.with_name("moved"))
    try:
        again = tftune.load(tmp_path / "model.keras")
    finally:
        nnlm.with_name("moved").rename(nnlm)
    assert again.predict("a good film") == pytest.approx(answer, abs=1e-6)


def _names(model):
    return [weight.path for weight in model.keras_model.weights]


def test_a_foreign_bert_pair_is_recognised_by_its_signature(converted_bert, data, tmp_path):
    """Without what tftune's converter adds, the pair is as any of TF-Hub's."""
    import shutil

    pair = tmp_path / "pair"
    shutil.copytree(converted_bert, pair, ignore=shutil.ignore_patterns("assets.extra"))
    model = tftune.build_text_classifier(pair, data)
    assert [stage.name for stage in model.stages][:3] == ["embeddings", "layer_0", "layer_1"]
    own = tftune.build_text_classifier(converted_bert, data)
    texts = tf.constant(["it was good", "the film"])
    np.testing.assert_allclose(
        model.cut("pooled")[0].forward(texts), own.cut("pooled")[0].forward(texts), atol=1e-5
    )
    promised = {weight.path for weight in promised_variables(model, "layer_1")}
    assert {path.replace("/", ".").split(".")[0] for path in promised} == {"layer_1", "logits"}
    before = dict(zip(_names(model), model.keras_model.get_weights(), strict=True))
    plan = tftune.plan(
        model, data, head_epochs=1, fine_tune_epochs=1, unfreeze="layer_1", estimate=False
    )
    assert plan.stages[1][0] == "layer_1" and model.boundary_below("layer_1") is None
    plan = plan.replace(phases=[p.replace(interpolate=False) for p in plan.phases])
    tftune.fine_tune(model, data, plan, verbose=False, from_scratch=False)
    after = dict(zip(_names(model), model.keras_model.get_weights(), strict=True))
    moved = {name for name, value in after.items() if (value != before[name]).any()}
    assert moved <= promised  # the sentinel saw that all of them move in the first step
    assert "yes" in str(model) and "no" in str(model)
    model.save(tmp_path / "model.keras")
    answer = model.predict("it was good")
    shutil.rmtree(pair)
    again = tftune.load(tmp_path / "model.keras")
    assert again.predict("it was good") == pytest.approx(answer, abs=1e-6)


def test_misfits_are_told_in_a_sentence(converted_bert, data, tmp_path):
    import shutil

    encoder = tmp_path / "encoder-alone"
    shutil.copytree(
        converted_bert / "encoder", encoder, ignore=shutil.ignore_patterns("assets.extra")
    )
    with pytest.raises(ConfigError, match="of the BERT kind: it takes .* Give the `preprocessor`"):
        tftune.build_text_classifier(encoder, data)
    with pytest.raises(ConfigError, match="must turn strings"):
        tftune.build_text_classifier(converted_bert / "preprocessor", data)
    with pytest.raises(WeightsError, match=r"`encoder`.*holds no saved_model\.pb"):
        tftune.build_text_classifier(tmp_path, data)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"'ngrams', a SavedModel.*`tftune.convert_bert` first"):
        tftune.build_text_classifier(tmp_path, data)


def test_a_missing_tensorflow_text_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_text", None)
    with pytest.raises(ConfigError, match=r"pip install 'tftune\[text\]'"):
        import_tensorflow_text()


def test_an_image_dataset_and_a_text_dataset_are_not_mixed_up(stripes, small_model, bert, data):
    with pytest.raises(DataError, match="must hold texts"):
        tftune.build_text_classifier("ngrams", stripes)
    with pytest.raises(ConfigError, match="reads texts"):
        bert.image_input  # noqa: B018
    assert small_model.contract == small_model.image_input


def test_enormous_and_broken_texts_are_read_in_part(bert):
    huge = "good film " * 1_000_000
    whole, start = bert.predict([huge, huge[:500]])
    assert whole == pytest.approx(start, abs=1e-6)
    broken = bert.forward(tf.constant([b"good \xff\xfe film \xc3"]))
    clean = bert.forward(tf.constant(["good  film "]))
    np.testing.assert_allclose(broken, clean, atol=1e-6)
