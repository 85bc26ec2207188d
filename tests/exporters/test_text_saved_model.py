"""A text model's SavedModel takes raw strings in a process with neither keras nor tftune."""

import ast
import base64
import json
import subprocess

import numpy as np
import pytest
import tensorflow as tf

import tftune
from tftune.config.model_spec import HeadSpec
from tftune.config.text_input import TextInput
from tftune.errors import ConfigError
from tftune.exporters.serving_bundle import write_bundle
from tftune.exporters.warm_up import WARM_UP_FILE, write_warm_up


@pytest.fixture(scope="module")
def data():
    words = "good great fine loved bad awful poor hated".split()
    texts = [f"the film was {word} {rest}" for word in words for rest in ("", "today", "and very")]
    return tftune.load_texts(texts, ["good"] * 12 + ["bad"] * 12)


@pytest.fixture(scope="module", params=["ngrams", "bert"])
def exported(request, data, converted_bert, tmp_path_factory):
    encoder = "ngrams" if request.param == "ngrams" else converted_bert
    model = tftune.build_text_classifier(encoder, data)
    folder = tmp_path_factory.mktemp("exported") / "texts"
    return model, tftune.export_saved_model(model, folder, verify=data.train)


def test_it_answers_as_the_model_does(exported):
    _, export = exported
    (head,) = export.certificate.heads
    assert head.max_difference <= 1e-6
    assert set(export.signatures) == {"serving_default", "classify", "embed"}


def test_every_signature_takes_raw_strings(exported, data):
    model, export = exported
    loaded = tf.saved_model.load(export.path)
    texts = ["the film was good", "naïve \U0001f600 film", ""]
    answers = loaded.signatures["serving_default"](text=tf.constant(texts))
    expected = [model.predict(text) for text in texts]
    for row, answer in zip(answers["probabilities"].numpy(), expected, strict=True):
        assert dict(zip(model.class_names, row, strict=True)) == pytest.approx(answer, abs=1e-6)
    example = tf.train.Example()
    example.features.feature["text"].bytes_list.value.append(texts[0].encode())
    classified = loaded.signatures["classify"](inputs=tf.constant([example.SerializeToString()]))
    np.testing.assert_allclose(classified["scores"][0], answers["scores"][0], atol=1e-6)
    assert loaded.signatures["embed"](text=tf.constant(texts))["embedding"].shape[0] == 3


def test_verify_runs_it_again(exported, data):
    model, export = exported
    checked = tftune.verify_export(export.path, data.validation, model)
    assert checked.intact


def test_weights_are_frozen_behind_the_tokenizer(converted_bert, data, tmp_path):
    model = tftune.build_text_classifier(converted_bert, data)
    folder = tmp_path / "m"
    export = tftune.export_saved_model(model, folder, frozen=True)
    serve = tf.saved_model.load(export.path).signatures["serving_default"]
    (row,) = serve(text=tf.constant(["the film was good"]))["probabilities"].numpy()
    expected = model.predict("the film was good")
    assert dict(zip(model.class_names, row, strict=True)) == pytest.approx(expected, abs=1e-6)
    variables = folder / "1" / "variables" / "variables.data-00000-of-00001"
    assert not variables.exists() or variables.stat().st_size < 2_000


@pytest.mark.slow  # six exports, each run by a process of its own
@pytest.mark.parametrize(("dtype", "frozen"), [("float16", False), ("float32", True)])
def test_narrow_and_frozen_exports_are_certified(exported, data, tmp_path, dtype, frozen):
    model, export = exported
    small = tftune.export_saved_model(
        model, tmp_path / "m", verify=data.train, weights_dtype=dtype, frozen=frozen
    )
    (head,) = small.certificate.heads
    assert head.max_difference <= (1e-6 if frozen else 1e-3)
    if not frozen and model.spec.preset == "ngrams":  # the tiny BERT has no large weights
        assert small.size_bytes < 0.6 * export.size_bytes


@pytest.mark.slow
def test_a_bundle_is_written_with_an_export(exported, data, tmp_path):
    pytest.importorskip("tensorflow_serving", reason="the extra `serving` is not installed here")
    model, _ = exported
    tftune.export_saved_model(model, tmp_path / "m", verify=data.train, bundle=True)
    _check_warm_up(tmp_path / "m" / "1", data)
    assert (tmp_path / "m.serving" / "client.sh").is_file()


def _check_warm_up(version, data):
    from tensorflow_serving.apis import prediction_log_pb2

    (first, *_) = tf.data.TFRecordDataset(str(version / "assets.extra" / WARM_UP_FILE))
    request = prediction_log_pb2.PredictionLog.FromString(first.numpy()).predict_log.request
    assert tf.make_ndarray(request.inputs["text"]) == [data.train.examples.text(0).encode()]


def test_a_bundle_asks_in_strings_and_warms_up_with_real_ones(data, tmp_path):
    pytest.importorskip("tensorflow_serving", reason="the extra `serving` is not installed here")
    head = HeadSpec("label", "multiclass", data.class_names, "logits", "probabilities")
    encoded = [data.train.examples.encoded(index) for index in range(3)]
    write_warm_up(tmp_path / "m" / "1", "m", encoded, "text")
    _check_warm_up(tmp_path / "m" / "1", data)
    folder = write_bundle(tmp_path / "m", "m", (head,), TextInput(16))
    for client in ("client_rest.py", "client_grpc.py"):
        program = (folder / client).read_text()
        ast.parse(program)
        assert "arguments.texts" in program and "image" not in program
    # What the shell sends is what the server decodes.
    shell = (folder / "client.sh").read_text().replace("curl", "cat; true")
    (folder / "printing.sh").write_text(shell)
    sent = subprocess.run(
        ["sh", folder / "printing.sh", 'naïve "film"'], capture_output=True, check=True
    )
    (encoded,) = json.loads(sent.stdout)["inputs"]["text"]
    assert base64.b64decode(encoded["b64"]).decode() == 'naïve "film"'


def test_a_model_of_pairs_takes_pairs(converted_bert, tmp_path):
    texts = [(f"the sky is {word}", "it was \0 good") for word in ("blue", "clear", "grey")] * 4
    data = tftune.load_texts(texts, ["x", "y", "z"] * 4)
    model = tftune.build_text_classifier(converted_bert, data)
    export = tftune.export_saved_model(model, tmp_path / "pairs", verify=data.train)
    assert export.certificate.heads[0].max_difference <= 1e-6
    serve = tf.saved_model.load(export.path).signatures["serving_default"]
    (row,) = serve(text=tf.constant([["the sky is blue", "is it ?"]]))["probabilities"].numpy()
    expected = model.predict(("the sky is blue", "is it ?"))
    assert dict(zip(model.class_names, row, strict=True)) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ConfigError, match="This one reads pairs"):
        tftune.export_saved_model(model, tmp_path / "b", verify=data.train, bundle=True)
