"""Models of texts are searched as models of images are, whatever their encoder."""

import keras
import numpy as np
import pytest

import tftune
from tftune.builders.new_head import with_head
from tftune.cache.store import ActivationStore
from tftune.errors import ConfigError
from tftune.tuning.candidates import candidates
from tftune.tuning.ranges import Choice, Float

_SMALL = tftune.SearchSpace(
    dropout=0.1,
    label_smoothing=0.0,
    optimizer="adamw",
    weight_decay=0.0,
    batch_size=16,
    head_rate=Float(1e-3, 1e-1, log=True),
    head_epochs=2,
    fine_tune_rate=Choice(1e-4, 1e-3),
    fine_tune_epochs=1,
    layer_decay=1.0,
)
_FILLERS = "a the film movie it was is and very today one two".split()


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    words = {"good": "good great fine loved".split(), "bad": "bad awful poor hated".split()}
    texts, labels = [], []
    for index in range(60):
        label = ("bad", "good")[index % 2]
        told = [*generator.choice(_FILLERS, 4), generator.choice(words[label])]
        texts.append(" ".join(generator.permutation(told)))
        labels.append(label)
    return tftune.load_texts(texts, labels)


@pytest.fixture(scope="module")
def hub_encoder(write_string_encoder, tmp_path_factory):
    return write_string_encoder(tmp_path_factory.mktemp("data") / "nnlm-tiny" / "2")


def _search(model, data, folder, **settings):
    asked = {"trials": 2, "fine_tune_trials": 1, "oracle": "random", "space": _SMALL, **settings}
    return tftune.search(model, data, verbose=False, store=ActivationStore(folder), **asked)


def test_a_converted_bert_is_searched_in_both_tiers(converted_bert, data, tmp_path):
    keras.utils.set_random_seed(0)
    model = tftune.build_text_classifier(converted_bert, data)
    before = [np.array(w.numpy()) for w in model.keras_model.weights]
    found = _search(model, data, tmp_path, space=_SMALL.replace(unfreeze=1))
    assert (found.trials["status"] == "done").all(), found.trials["reason"].tolist()
    assert found.trials["trial"].tolist()[-2:] == ["default, fine-tuned", "f1"]
    for weight, value in zip(model.keras_model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)
    measured = tftune.evaluate(found.model, data.validation).metrics["loss"]
    assert found.best["loss"] == pytest.approx(measured, rel=1e-3)
    assert set(found.model.predict("the film was good")) == {"good", "bad"}


def test_an_encoder_from_tf_hub_is_loaded_once_for_all_trials(
    hub_encoder, data, tmp_path, monkeypatch
):
    from tftune.builders import hub_encoder as module

    model = tftune.build_text_classifier(hub_encoder, data)
    assert model.preset == "nnlm-tiny"
    own = model.keras_model.get_layer("hub").get_weights()[0]
    loaded = []
    load = module.load_saved_model
    monkeypatch.setattr(module, "load_saved_model", lambda path: loaded.append(path) or load(path))
    found = _search(model, data, tmp_path, trials=1)
    assert (found.trials["status"] == "done").all(), found.trials["reason"].tolist()
    assert len(loaded) <= 2  # those of the winner and the default plan, at the end
    np.testing.assert_array_equal(model.keras_model.get_layer("hub").get_weights()[0], own)


def test_encoders_compete_and_the_one_that_learns_from_nothing_has_a_space_of_its_own(
    hub_encoder, data, tmp_path
):
    floor = tftune.build_text_classifier("ngrams", data)
    limits = tftune.SearchSpace.for_data(floor, data)
    # Its default plan trains at 1e-2, which a space for pretrained encoders leaves out.
    assert limits.fine_tune_rate.low < 1e-2 < limits.fine_tune_rate.high
    models = [tftune.build_text_classifier(hub_encoder, data), floor]
    space = _SMALL.replace(head_rate=0.01)
    found = _search(
        models, data, tmp_path, space=space, oracle="grid", trials=None, fine_tune_trials=0
    )
    assert set(found.trials["backbone"][1:]) == {"nnlm-tiny", "ngrams"}


def test_a_space_names_encoders_that_are_then_built(hub_encoder, data):
    floor = tftune.build_text_classifier("ngrams", data)
    space = _SMALL.replace(backbone=Choice("ngrams", str(hub_encoder)))
    models, _ = candidates(floor, space, data)
    assert list(models) == ["ngrams", str(hub_encoder)]
    assert models["ngrams"] is floor


def test_the_pooling_of_an_encoder_is_not_searched(data):
    floor = tftune.build_text_classifier("ngrams", data)
    with pytest.raises(ConfigError, match="`pooling` cannot be searched for text encoders"):
        candidates(floor, _SMALL.replace(pooling=Choice("average", "max")), data)
    with pytest.raises(ConfigError, match="`pooling` cannot be chosen for a text encoder"):
        with_head(floor, pooling="max")
