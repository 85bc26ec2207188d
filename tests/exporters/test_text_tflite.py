"""Text models go to phones as token-id models; the certificate begins at the original strings."""

import dataclasses
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import tftune
from tftune.errors import ConfigError, ExportError
from tftune.exporters.certificate import Answers, Budget, compare
from tftune.exporters.doctor import diagnose
from tftune.exporters.litert import run_texts
from tftune.exporters.runtime_benchmark import benchmark_tflite
from tftune.exporters.text_phone import BertPhone, WordsPhone
from tftune.exporters.tflite_contents import inspect_tflite
from tftune.exporters.tflite_metadata import attach, metadata_bytes, read_metadata

WORDS = "good great fine loved bad awful poor hated".split()
NASTY = [
    "",
    "It was VERY good!",
    "isn't it?\tyes\r\nno",
    "naïve café film",
    "ÉCLAIR Good",
    "a\u00a0man is eating",
    "the film 很好 was good",
    "good\u200bfilm \U0001f600 movie",
    "“good” — the film…",
    "one,two;three ##s [CLS] [SEP]",
    "x" * 150 + " good",
    " ".join(["good film"] * 40),
]


@pytest.fixture(scope="module")
def data():
    texts = [f"the film was {word} {rest}" for word in WORDS for rest in ("", "today", "and very")]
    return tftune.load_texts(texts, ["good"] * 12 + ["bad"] * 12)


@pytest.fixture(scope="module")
def bert(converted_bert, data):
    return tftune.build_text_classifier(converted_bert, data, sequence_length=16)


@pytest.fixture(scope="module")
def words(data):
    model = tftune.build_text_classifier("ngrams", data)
    head = model.keras_model.get_layer("logits")
    head.set_weights([20 * weight for weight in head.get_weights()])  # answers that differ
    return model


@pytest.fixture(scope="module")
def bert_export(bert, data, tmp_path_factory):
    return tftune.export_tflite(
        bert, tmp_path_factory.mktemp("bert") / "m.tflite", verify=data.train
    )


@pytest.fixture(scope="module")
def words_export(words, data, tmp_path_factory):
    file = tmp_path_factory.mktemp("words") / "m.tflite"
    # Texts whose words and pairs of words are all known, so the answers must be the model's.
    return tftune.export_tflite(words, file, verify=data.train, calibration=data.train)


def _texts(data, texts):
    examples = type(data.test.examples).of(texts, [f"text {i}" for i in range(len(texts))])
    target = dataclasses.replace(data.test.targets[0], labels=np.arange(len(texts)) % 2)
    return tftune.Split("test", examples, (target,))


def _mediapipe_scores(path, texts):
    pytest.importorskip("mediapipe", reason="MediaPipe is not installed here")
    from mediapipe.tasks.python import BaseOptions
    from mediapipe.tasks.python import text as tasks

    options = tasks.TextClassifierOptions(
        base_options=BaseOptions(model_asset_path=str(path)),
        max_results=-1,
        score_threshold=-1e9,
    )
    with tasks.TextClassifier.create_from_options(options) as classifier:
        for text in texts:
            found = classifier.classify(text).classifications[0].categories
            yield {category.category_name: category.score for category in found}


@pytest.mark.parametrize("kind", ["bert_export", "words_export"])
def test_the_file_gives_the_models_answers_and_is_healthy(kind, request):
    export = request.getfixturevalue(kind)
    (head,) = export.certificate.heads
    assert head.max_difference <= 1e-5
    diagnosis = diagnose(export.path)
    assert diagnosis.kind == "text classifier" and not diagnosis.findings
    assert not any(op.custom for op in inspect_tflite(_read(export.path)).operators)
    assert "int32 (1, " in export.signatures["serving_default"]


@pytest.mark.parametrize("kind", ["bert_export", "words_export"])
def test_mediapipe_loads_it_and_answers_as_the_phone_is_told_here(kind, request, data):
    export = request.getfixturevalue(kind)
    split = _texts(data, NASTY)
    heads = tftune.build_text_classifier("ngrams", data).heads
    rows = next(iter(run_texts(Path(export.path), split, heads).outputs.values()))
    for scores, row in zip(_mediapipe_scores(export.path, NASTY), rows, strict=True):
        expected = dict(zip(data.class_names, row, strict=True))
        assert scores == pytest.approx(expected, abs=1e-5)


def test_what_a_phone_reads_otherwise_is_counted(bert, data):
    odd = _texts(data, ["the film was góod", "THE FILM", "good", "a\u00a0man"])
    phone = BertPhone(bert)
    assert phone.same_inputs(odd).tolist() == [False, True, True, False]
    (note,) = phone.notes(odd)
    assert note.startswith("2 of 4 texts have other tokens")


def test_the_bound_is_for_examples_that_reach_both_networks_alike(words, data):
    split = _texts(data, ["the film was good", "a zebra", "bad"])
    expected = np.array([[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]], np.float32)
    outputs = {words.heads[0].name: expected + [[0, 0], [-0.2, 0.2], [0, 0]]}
    answers = Answers("told", outputs, outputs, 1.0)
    asked = (words.heads, expected, answers, split, Path(__file__), Budget(1e-4, 1.0))
    found = compare(*asked, same=np.array([True, False, True]))
    assert found.passed
    assert found.notes == (
        "Of the 2 of 3 examples that reach both alike, the largest difference is 0.0e+00.",
    )
    assert "differs by 2.0e-01" in compare(*asked).problems[0]


def test_unknown_words_are_told_and_cost_what_the_certificate_says(words, data, tmp_path):
    odd = _texts(data, ["the film was good", "Today THE Film", "a zebra", "was very the"])
    export = tftune.export_tflite(
        words, tmp_path / "m.tflite", verify=odd, calibration=data.train, max_drop=1.0
    )
    note, _ = export.certificate.notes
    assert "16.7% of the words" in note and "1 of 4 texts are read whole" in note
    assert export.certificate.heads[0].max_difference > 1e-4


def test_the_table_of_words_is_the_encoder_where_all_is_known(words, data):
    phone = WordsPhone(words, data.train.examples)
    table = phone._table
    encoder = words.keras_model.get_layer("ngrams")
    for text in data.train.examples.columns[0][:5]:
        for way in (text, text.upper(), text.title()):
            ids = phone._phone.inputs(way, phone.length)["ids"]
            embedded = table.embed(tf.constant(ids), table.constants())
            np.testing.assert_allclose(embedded, encoder(tf.constant([way])), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("form", "bound"), [("float16", 1e-2), ("dynamic", 0.2)])
def test_smaller_forms_stay_near(bert, data, tmp_path, form, bound):
    export = tftune.export_tflite(bert, tmp_path / "m.tflite", quantize=form, verify=data.train)
    assert export.certificate.heads[0].max_difference <= bound
    assert diagnose(export.path).healthy


def test_verify_and_benchmark_take_text_files(bert, bert_export, data):
    checked = tftune.verify_export(bert_export.path, data.validation, bert)
    assert checked.intact and checked.passed
    assert tftune.verify_export(bert_export.path, data.validation).evaluation.num_examples
    measured = benchmark_tflite(bert_export.path, threads=[1], repeats=2)
    assert measured.costs[0].median_ms > 0


def test_what_cannot_go_to_a_phone_is_refused_in_a_sentence(words, data, tmp_path):
    file = tmp_path / "m.tflite"
    with pytest.raises(ConfigError, match=r"give `calibration=data\.train`"):
        tftune.export_tflite(words, file, verify=data.train)
    with pytest.raises(ConfigError, match="of a model of texts must be one of"):
        tftune.export_tflite(words, file, quantize="int8", calibration=data.train)
    pairs = tftune.build_text_classifier("ngrams", class_names=["a", "b"], num_texts=2)
    with pytest.raises(ConfigError, match="MediaPipe's TextClassifier takes one text"):
        tftune.export_tflite(pairs, file)
    assert not file.exists()


def test_an_encoder_of_strings_cannot_go_to_a_phone_and_says_why(data, tmp_path):
    table = tf.Variable(tf.zeros((8, 4)))

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def call(texts):
        return tf.gather(table, tf.strings.to_hash_bucket_fast(texts, 8))

    module = tf.train.Checkpoint(table=table)
    module.__call__ = call
    module.variables, module.trainable_variables = [table], [table]
    tf.saved_model.save(module, str(tmp_path / "hub"))
    model = tftune.build_text_classifier(tmp_path / "hub", data)
    with pytest.raises(ConfigError, match="Flex operators, which neither LiteRT nor MediaPipe"):
        tftune.export_tflite(model, tmp_path / "m.tflite")


def test_the_doctor_names_what_a_text_file_lacks(bert_export, words_export, tmp_path):
    def rules(export, change):
        content = _read(export.path)
        files = {n: text.decode() for n, text in read_metadata(content).files.items()}
        change(files)
        broken = tmp_path / "broken.tflite"
        broken.write_bytes(attach(_without_files(content), metadata_bytes(content), files))
        return {finding.rule for finding in diagnose(broken).findings}

    assert rules(bert_export, lambda files: files.pop("vocab.txt")) == {"vocabulary-missing"}
    replaced = {"vocab.txt": "good\nbad"}
    assert rules(bert_export, lambda files: files.update(replaced)) == {"vocabulary-tokens"}
    assert rules(words_export, lambda files: files.update(replaced)) == {"vocabulary-tokens"}
    broken = tmp_path / "broken.tflite"
    with pytest.raises(ExportError, match="must be a word and its number"):
        tftune.verify_export(broken, _two_texts())


def _two_texts():
    return tftune.load_texts(["good film"] * 9 + ["bad"] * 9, ["good"] * 9 + ["bad"] * 9).train


def _read(path):
    return Path(path).read_bytes()


def _without_files(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        first = min(item.header_offset for item in archive.infolist())
    return content[:first]
