"""A text model's SavedModel takes raw strings in a process with neither keras nor tftune."""

import numpy as np
import pytest
import tensorflow as tf

import tftune
from tftune.errors import ConfigError


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


def test_what_texts_do_not_have_is_refused(exported, data, tmp_path):
    model, _ = exported
    with pytest.raises(ConfigError, match="`bundle` is for models of images; `weights_dtype`"):
        tftune.export_saved_model(
            model, tmp_path / "a", verify=data.train, bundle=True, frozen=True
        )


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
