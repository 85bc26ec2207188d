"""A search over several machines is told apart by keras-tuner's variables."""

import pickle
import threading
import time

import pytest

import tftune
from tftune.errors import ConfigError
from tftune.tuning import cluster
from tftune.tuning.workers import Job

_ADDRESS = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": "8000"}


def _set(monkeypatch, **variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_roles_follow_the_variables(monkeypatch):
    assert cluster.cluster_role() is None
    _set(monkeypatch, **_ADDRESS)
    with pytest.raises(ConfigError, match="Not set: KERASTUNER_TUNER_ID"):
        cluster.cluster_role()
    _set(monkeypatch, KERASTUNER_TUNER_ID="chief")
    assert cluster.cluster_role() == cluster.CHIEF
    _set(monkeypatch, KERASTUNER_TUNER_ID="worker7")
    assert cluster.cluster_role() == cluster.WORKER


def test_what_does_not_go_together_is_refused(monkeypatch, tmp_path):
    data = tftune.load_texts(["good", "bad"] * 10, ["good", "bad"] * 10)
    model = tftune.build_text_classifier("ngrams", data)
    _set(monkeypatch, **_ADDRESS, KERASTUNER_TUNER_ID="worker0")
    with pytest.raises(ConfigError, match="Start a worker by `tftune search DATA"):
        tftune.search(model, data, verbose=False)
    _set(monkeypatch, KERASTUNER_TUNER_ID="chief")
    with pytest.raises(ConfigError, match="needs an `output` that all of them see"):
        tftune.search(model, data, verbose=False)
    with pytest.raises(ConfigError, match="workers 2"):
        tftune.search(model, data, workers=2, output=tmp_path / "a", verbose=False)


def test_a_worker_waits_for_jobs_and_ends_when_the_chief_has_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_POLL_SECONDS", 0.01)

    def job(name):
        return Job({}, {}, None, None, None, None, 0, tmp_path / name, None)

    def chief():
        with cluster.chief_of(tmp_path):
            for name in ("head", "fine_tuning"):
                time.sleep(0.05)
                (tmp_path / "cluster").mkdir(exist_ok=True)
                file = tmp_path / "cluster" / "job.pickle"
                file.with_suffix(".new").write_bytes(pickle.dumps(job(name)))
                file.with_suffix(".new").rename(file)
                time.sleep(0.3)

    thread = threading.Thread(target=chief)
    thread.start()
    assert [found.folder.name for found in cluster.jobs(tmp_path)] == ["head", "fine_tuning"]
    thread.join()
