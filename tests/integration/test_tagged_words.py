"""A model of tags is trained from the cache, measured, saved, asked and served."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from typer.testing import CliRunner

import tftune
from tftune.builders.bert_tokens import BertTokens
from tftune.builders.word_layers import BertWordTokens, other_piece
from tftune.cache.store import ActivationStore
from tftune.cli import console
from tftune.cli.main import app
from tftune.data.dataset import Dataset, Split
from tftune.data.targets import Target
from tftune.data.text_examples import Texts
from tftune.errors import ConfigError

NAMES = ("O", "B-FOOD", "I-FOOD", "B-SKY")


def sentences(count, seed):
    """Sentences of few words, some of which are of several pieces or unknown."""
    generator = np.random.default_rng(seed)
    texts, tags = [], []
    for _ in range(count):
        words, own = ["the", "man"], [0, 0]
        for _ in range(generator.integers(1, 4)):
            kind = generator.integers(0, 3)
            if kind == 0:
                words += ["food", "meals"]
                own += [1, 2]
            elif kind == 1:
                words.append("sky")
                own.append(3)
            else:
                words.append(str(generator.choice(["eats", "isn't", "qqq", "\u200d"])))
                own.append(0)
        texts.append(" ".join(words))
        tags.append(own)
    labels = np.full((count, 8), -1, np.int64)
    for row, own in enumerate(tags):
        labels[row, : len(own)] = own
    return Texts.of(texts, texts), Target("label", "tags", NAMES, labels)


@pytest.fixture(scope="module")
def data():
    parts = {}
    for seed, (name, count) in enumerate((("train", 80), ("validation", 30), ("test", 30))):
        examples, target = sentences(count, seed)
        parts[name] = Split(name, examples, (target,))
    return Dataset(**parts)


@pytest.fixture(scope="module")
def run(converted_bert, data, tmp_path_factory):
    keras.utils.set_random_seed(0)
    model = tftune.build_text_classifier(converted_bert, data, dropout=0.0)
    plan = tftune.plan(
        model,
        data,
        head_epochs=1,
        fine_tune_epochs=2,
        fine_tune_rate=5e-3,
        unfreeze=1,
        batch_size=8,
        estimate=False,
    )
    folder = tmp_path_factory.mktemp("runs") / "tags"
    store = ActivationStore(tmp_path_factory.mktemp("cache"))
    return tftune.fine_tune(model, data, plan, output=folder, verbose=False, store=store)


def test_both_phases_train_from_the_cache_and_entities_are_found(run, data):
    found = tftune.evaluate(run.model, data.test)
    # A random network of 16 channels does not see more; its baseline finds nothing.
    assert found.metrics["entity_f1"] > 0.7 and found.headline == "entity_f1"
    assert {"probe", "fine-tuned", "each word's usual tag"} <= set(run.verdict.scores)
    assert run.verdict.scores["each word's usual tag"].value == pytest.approx(1)
    assert "word accuracy" in str(run.verdict)
    assert set(found.per_class) == {"FOOD", "SKY"}


def test_it_says_the_tag_of_every_word_and_the_entities(run):
    answer = run.model.predict("the man food meals")
    assert answer["tags"] == ["O", "O", "B-FOOD", "I-FOOD"]
    assert answer["entities"] == [{"type": "FOOD", "text": "food meals", "first": 2, "last": 3}]
    odd = run.model.predict("the food\tmeals \u200d isn't")
    assert odd["words"] == ["the", "food", "meals", "\u200d", "isn't"]
    assert all(probability > 0 for probability in odd["probabilities"])
    long = run.model.predict(" ".join(["sky"] * 40))
    assert long["probabilities"][-1] == 0 and long["tags"][-1] == "O" and len(long["tags"]) == 40
    assert run.model.predict("")["tags"] == []


def test_the_saved_file_and_the_export_give_the_same_answers(run, data, tmp_path):
    run.model.save(tmp_path / "tags.keras")
    again = tftune.load(tmp_path / "tags.keras")
    text = "the man isn't food meals"
    assert again.predict(text) == run.model.predict(text)
    export = tftune.export_saved_model(run.model, tmp_path / "served", verify=data.test)
    assert export.certificate.heads[0].max_difference <= 1e-6
    assert export.certificate.heads[0].agreement == 1
    assert set(export.signatures) == {"serving_default", "embed"}
    with pytest.raises(ConfigError, match="no task for tags"):
        tftune.export_tflite(run.model, tmp_path / "tags.tflite")
    with pytest.raises(ConfigError, match="cannot be searched for"):
        tftune.search(run.model, data, trials=2)
    loaded = tf.saved_model.load(export.path)
    served = loaded.signatures["serving_default"](text=tf.constant([text]))
    tags = [tag.decode() for tag in served["tags"][0].numpy()]
    assert tags[:5] == run.model.predict(text)["tags"] and set(tags[5:]) == {""}


def test_the_command_line_shows_tags_beside_words_and_runs_compare(run, data, monkeypatch):
    monkeypatch.setattr(console, "import_tensorflow_quietly", lambda: None)
    done = CliRunner().invoke(app, ["predict", run.folder, "the man food meals"])
    assert "the man food/B-FOOD meals/I-FOOD" in done.output
    found = tftune.evaluate(run.model, data.test)
    assert "word accuracy" in str(tftune.compare(found, found))
    with pytest.raises(ConfigError, match="Tags of words are not explained"):
        tftune.attribute_words(run.model, "the man")


def test_the_report_of_a_run_is_written(run):
    page = tftune.write_report(run.folder)
    assert "entity f1" in page.read_text(encoding="utf-8")


def test_pieces_that_begin_a_word_are_marked(converted_bert, tiny_bert):
    vocabulary = (tiny_bert / "vocab.txt").read_text().strip()
    tokens = BertWordTokens(vocabulary, True, 10)
    marked = tokens(tf.constant(["meals isn't \u200d", "sky"])).numpy()
    plain = np.where(marked >= 0, marked, other_piece(marked))
    words = vocabulary.split("\n")
    assert [words[token] for token in plain[0]] == "[CLS] meal ##s isn ' t [UNK] [SEP]".split()
    assert [place for place, token in enumerate(marked[0]) if token >= 0] == [1, 3, 6]
    usual = BertTokens(vocabulary, True, 10)(tf.constant(["sky"])).numpy()
    np.testing.assert_array_equal(plain[1][:3], usual[0])


def test_encoders_without_places_for_words_are_refused(data):
    with pytest.raises(ConfigError, match="need an encoder that `tftune.convert_bert` wrote"):
        tftune.build_text_classifier("ngrams", data)
