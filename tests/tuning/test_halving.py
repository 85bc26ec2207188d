"""A trial for which memory runs out is tried once more with half as many examples a step."""

import keras
import pytest
import tensorflow as tf

import tftune
from tftune.cache.store import ActivationStore
from tftune.tuning import fine_tuning_trials
from tftune.tuning.halving import halved_once
from tftune.tuning.head_training import HeadTraining


def _memory_for(most):
    def check(size):
        if size > most:
            raise tf.errors.ResourceExhaustedError(None, None, f"OOM with {size} examples")

    return check


@pytest.fixture(scope="module")
def data():
    texts = [f"{word} {number}" for word in ("good", "bad") for number in range(15)]
    return tftune.load_texts(texts, [text.split()[0] for text in texts])


@pytest.fixture(scope="module")
def model(data):
    keras.utils.set_random_seed(1)
    return tftune.build_text_classifier("ngrams", data)


def _plan(model, data, size):
    return tftune.plan(model, data, batch_size=size, fine_tune_epochs=0, estimate=False)


def test_the_batch_is_halved_once_and_the_plan_says_so(model, data):
    tried = []

    def run(plan):
        tried.append(plan.phases[-1].batch_size)
        _memory_for(4)(tried[-1])
        return "done"

    result, plan, notes = halved_once(run, _plan(model, data, 8), 18)
    assert (result, plan.phases[-1].batch_size, tried) == ("done", 4, [8, 4])
    assert notes == ["8 examples a step did not fit into memory, so it took 4"]
    with pytest.raises(tf.errors.ResourceExhaustedError):
        halved_once(run, _plan(model, data, 16), 18)
    assert tried == [8, 4, 16, 8]


@pytest.mark.parametrize(("fitting", "status"), [(4, "done"), (2, "failed")])
def test_a_search_goes_on_where_memory_runs_out(
    model, data, pinned_space, tmp_path, monkeypatch, fitting, status
):
    fit, tune = HeadTraining.fit, fine_tuning_trials.fine_tune

    def scarce_fit(self, *arguments, **settings):
        if self.phase.learning_rate != 1e-3:  # the default plan has room
            _memory_for(fitting)(self.phase.batch_size)
        return fit(self, *arguments, **settings)

    def scarce_tune(model, examples, plan, **settings):
        if plan.phases[0].batch_size != 32:
            _memory_for(fitting)(plan.phases[0].batch_size)
        return tune(model, examples, plan, **settings)

    monkeypatch.setattr(HeadTraining, "fit", scarce_fit)
    monkeypatch.setattr(fine_tuning_trials, "fine_tune", scarce_tune)
    space = pinned_space.replace(head_epochs=1)
    asked = {"trials": 1, "fine_tune_trials": 1, "oracle": "random", "space": space}
    if status == "failed":  # no head to go on from but the default one
        asked["fine_tune_trials"] = 0
        with pytest.raises(tftune.errors.SearchError, match="OOM with 4 examples"):
            tftune.search(model, data, verbose=False, store=ActivationStore(tmp_path), **asked)
        return
    found = tftune.search(model, data, verbose=False, store=ActivationStore(tmp_path), **asked)
    told = found.trials.set_index("trial")
    assert (told["status"] == "done").all(), told["reason"].tolist()
    for name in ("1", "f1"):
        assert "did not fit into memory, so it took 4" in told.loc[name, "reason"]
