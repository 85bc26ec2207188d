"""Trials spread over processes; a worker that is killed is started again, and its trial too."""

import os
import signal

import keras
import numpy as np
import pytest

import tftune
from tftune.cache.store import ActivationStore
from tftune.tuning import workers
from tftune.tuning.ranges import Float
from tftune.tuning.search_space import SearchSpace


@pytest.mark.slow
def test_a_worker_killed_in_a_trial_comes_back_and_the_table_is_whole(
    stripes, tmp_path, monkeypatch
):
    keras.utils.set_random_seed(1)
    model = tftune.build_image_classifier(
        "efficientnet_lite0", stripes, image_size=(32, 32), weights=None
    )
    started, killed = [], []

    class Recorded(workers._Worker):
        def start(self):
            super().start()
            started.append((self._name, self._process))

        def is_running(self, say):
            trials = tmp_path / "found" / "head"
            ended = len(list(trials.glob("trial_*/record.json")))
            if not killed and ended >= 2 and self._process.poll() is None:
                os.kill(self._process.pid, signal.SIGKILL)
                self._process.wait()
                killed.append(self._name)
            return super().is_running(say)

    monkeypatch.setattr(workers, "_Worker", Recorded)
    space = SearchSpace(
        hidden=(32,),
        dropout=Float(0.0, 0.5),
        label_smoothing=0.0,
        optimizer="adamw",
        batch_size=4,
        head_epochs=200,
        unfreeze=1,
    )
    found = tftune.search(
        model,
        stripes,
        trials=8,
        fine_tune_trials=0,
        oracle="random",
        space=space,
        workers=2,
        output=tmp_path / "found",
        verbose=False,
        store=ActivationStore(tmp_path / "features"),
    )
    assert len(killed) == 1
    assert [name for name, _ in started].count(killed[0]) == 2
    assert len(found.trials) == 9 and (found.trials["status"] == "done").all()
    assert all(process.poll() is not None for _, process in started)


@pytest.mark.slow
def test_workers_fine_tune_too_and_come_to_the_figures_of_one_process(
    stripes, pinned_space, tmp_path
):
    keras.utils.set_random_seed(1)
    model = tftune.build_image_classifier(
        "efficientnet_lite0", stripes, image_size=(32, 32), weights=None
    )
    space = pinned_space.replace(
        head_rate=Float(1e-3, 1e-2, log=True),
        head_epochs=2,
        fine_tune_rate=Float(1e-4, 1e-3, log=True),
    )
    tables = [
        tftune.search(
            model,
            stripes,
            trials=2,
            fine_tune_trials=2,
            oracle="random",
            space=space,
            workers=workers,
            output=tmp_path / str(workers),
            verbose=False,
            store=ActivationStore(tmp_path / "features"),
        ).trials.set_index("trial")
        for workers in (1, 2)
    ]
    alone, spread_out = tables
    assert (spread_out["status"] == "done").all(), spread_out["reason"].tolist()
    assert set(alone.index) == set(spread_out.index)
    # Which trial gets which name depends on who asks first; which points there are does not.
    for name in ("loss", "fine_tune_rate"):
        one, two = (np.sort(t.loc[["f1", "f2"], name].astype(float)) for t in tables)
        np.testing.assert_allclose(one, two, rtol=1e-3)
