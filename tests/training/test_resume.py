"""A killed run continues at the next batch and ends with the same bits."""

import json
import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pandas as pd
import pytest

import tftune
from tftune.errors import NonFiniteLossError, OutputExistsError, ResumeError
from tftune.training.checkpoint import Checkpoints

# Dropout, both phases, every kind of state; small enough to run in seconds.
PROGRAM = """
import sys
import keras
import tensorflow as tf
tf.config.experimental.enable_op_determinism()
import tftune

data = tftune.load_image_folder(sys.argv[1])
keras.utils.set_random_seed(1)
model = tftune.build_image_classifier(
    "efficientnet_lite0", data, image_size=(32, 32), weights=None, dropout=0.3
)
one = tftune.Phase("feature_extraction", "none", 30, 1e-2, 4, start_from_probe=True, ema=0.5)
two = tftune.Phase(
    "fine_tuning", "block7", 4, 1e-3, 4, layer_decay=0.7, l2_sp=0.01, interpolate=True,
    class_weights="balanced", schedule="reduce_on_plateau",
)
plan = tftune.Plan((one, two), seed=3)
tftune.fine_tune(model, data, plan, output=sys.argv[2])
"""


def _start(stripes_folder, out, cache):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(stripes_folder), str(out)],
        env={**os.environ, "TFTUNE_CACHE": str(cache), "CUDA_VISIBLE_DEVICES": "-1"},
        stderr=subprocess.PIPE,
        text=True,
    )


def _weights(out):
    return [np.array(w) for w in tftune.load(out).keras_model.get_weights()]


def _history(out):
    return pd.read_csv(out / "history.csv").drop(columns="seconds")


@pytest.fixture(scope="module")
def uninterrupted(stripes_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    process = _start(stripes_folder, folder / "run", folder / "cache")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return folder / "run"


def _kill_again_and_again(stripes_folder, folder, moments):
    """Kill the run so many seconds after its folder or cache appears; then let it finish."""
    out, cache = folder / "run", folder / "cache"
    for seconds in moments:
        process = _start(stripes_folder, out, cache)
        while process.poll() is None and not (cache.exists() or out.exists()):
            time.sleep(0.02)
        # Imports take seconds in every process; what follows is what there is to interrupt.
        seen = set(out.rglob("*")) | set(cache.rglob("*"))
        while process.poll() is None and set(out.rglob("*")) | set(cache.rglob("*")) == seen:
            time.sleep(0.02)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
    process = _start(stripes_folder, out, cache)
    _, errors = process.communicate(timeout=300)
    finished_before = "exists" in errors
    assert process.returncode == 0 or finished_before, errors
    return out


def _assert_same(out, uninterrupted):
    pd.testing.assert_frame_equal(_history(out), _history(uninterrupted), check_exact=True)
    for ours, theirs in zip(_weights(out), _weights(uninterrupted), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert [p.name for p in (out / "checkpoints").iterdir()] == ["run.json"]


def test_a_killed_run_ends_with_the_bits_of_an_uninterrupted_one(
    stripes_folder, uninterrupted, tmp_path
):
    generator = np.random.default_rng(os.getpid())
    moments = generator.uniform(0, 4, 2)
    out = _kill_again_and_again(stripes_folder, tmp_path, moments)
    _assert_same(out, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_twenty_kills_in_five_runs_change_no_bit(stripes_folder, uninterrupted, tmp_path, seed):
    moments = np.random.default_rng(seed).uniform(0, 6, 4)
    out = _kill_again_and_again(stripes_folder, tmp_path, moments)
    _assert_same(out, uninterrupted)


class _StopAt:
    """Makes callbacks that interrupt training at the end of an epoch, as Ctrl-C would."""

    def __init__(self, epoch):
        def interrupt(epoch_now, logs):
            if epoch_now == epoch:
                raise KeyboardInterrupt

        self._make = lambda: [keras.callbacks.LambdaCallback(on_epoch_end=interrupt)]

    def __call__(self):
        return self._make()


class _StopAtBatch:
    """Makes callbacks that interrupt training before a batch of the second epoch."""

    def __init__(self, step):
        self._step = step
        self._epoch = -1

    def __call__(self):
        def count(epoch, logs):
            self._epoch = epoch

        def interrupt(batch, logs):
            if self._epoch == 1 and batch == self._step:
                raise KeyboardInterrupt

        return [
            keras.callbacks.LambdaCallback(on_epoch_begin=count, on_train_batch_begin=interrupt)
        ]


def _plan(**changes):
    settings = {"epochs": 3, "learning_rate": 1e-2, "batch_size": 4, **changes}
    return tftune.Plan((tftune.Phase("feature_extraction", "none", **settings),))


def test_an_interrupted_run_says_how_to_continue_and_what_changed(
    small_model, stripes, tmp_path, capsys
):
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        tftune.fine_tune(small_model, stripes, _plan(), output=out, callbacks=_StopAt(1))
    assert "continues the run" in capsys.readouterr().err
    with pytest.raises(ResumeError, match=r"phases\[0\]\.learning_rate was 0\.01, is 0\.5"):
        tftune.fine_tune(small_model, stripes, _plan(learning_rate=0.5), output=out)
    fewer = tftune.Dataset(stripes.train.take(range(9)), stripes.validation, stripes.test)
    with pytest.raises(ResumeError, match="Changed: the data"):
        tftune.fine_tune(small_model, fewer, _plan(), output=out)
    run = tftune.fine_tune(small_model, stripes, _plan(), output=out, verbose=False)
    assert run.history["epoch"].tolist() == [1, 2, 3]
    assert json.loads((out / "metrics.json").read_text())["verdict"] == run.verdict.to_json()
    with pytest.raises(OutputExistsError):
        tftune.fine_tune(small_model, stripes, _plan(), output=out)


@pytest.mark.parametrize(
    ("changes", "step"),
    [({}, 0), ({}, 3), ({"ema": 0.9}, 3), ({"schedule": "reduce_on_plateau"}, 3)],
)
def test_an_epoch_interrupted_anywhere_has_the_figures_of_a_whole_one(
    stripes, tmp_path, monkeypatch, changes, step
):
    monkeypatch.setattr(Checkpoints, "due", property(lambda self: self.folder is not None))

    def model():
        keras.utils.set_random_seed(1)
        return tftune.build_image_classifier(
            "efficientnet_lite0", stripes, image_size=(32, 32), weights=None, dropout=0.3
        )

    plan = _plan(**changes)
    whole = tftune.fine_tune(model(), stripes, plan, verbose=False)
    settings = {"output": tmp_path / "run", "verbose": False}
    with pytest.raises(KeyboardInterrupt):
        tftune.fine_tune(model(), stripes, plan, callbacks=_StopAtBatch(step), **settings)
    continued = tftune.fine_tune(model(), stripes, plan, **settings)
    pd.testing.assert_frame_equal(
        continued.history.drop(columns="seconds"),
        whole.history.drop(columns="seconds"),
        rtol=1e-6,
    )


def test_a_changed_plan_starts_anew_when_overwriting_is_asked_for(small_model, stripes, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        tftune.fine_tune(
            small_model, stripes, _plan(), output=out, callbacks=_StopAt(0), verbose=False
        )
    plan = _plan(epochs=1)
    run = tftune.fine_tune(small_model, stripes, plan, output=out, overwrite=True, verbose=False)
    assert len(run.history) == 1


def test_a_loss_that_is_no_number_puts_the_last_good_weights_back(small_model, stripes):
    plan = _plan(learning_rate=1e30, optimizer="sgd", schedule="constant", epochs=9)
    with pytest.raises(NonFiniteLossError, match=r"at step \d+ .* at learning rate 1e\+30"):
        tftune.fine_tune(small_model, stripes, plan, verbose=False)
    assert all(np.isfinite(w).all() for w in small_model.keras_model.get_weights())


def test_scalars_are_logged_for_tensorboard(small_model, stripes, tmp_path):
    tftune.fine_tune(small_model, stripes, _plan(), output=tmp_path / "run", verbose=False)
    assert list((tmp_path / "run" / "logs" / "feature_extraction").glob("events*"))
