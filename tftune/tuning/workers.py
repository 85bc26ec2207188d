"""Spreading trials over processes of this machine: one chief that asks the oracle, and workers.

The processes speak keras-tuner's own protocol. What is added is supervision: keras-tuner's chief
waits for ever for a worker that was killed. Here it is started again under the name it had, by
which the oracle knows its unfinished trial and hands it out once more.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_chief import OracleServicer

from tftune.builders.transfer_model import TransferModel
from tftune.cache.store import ActivationStore
from tftune.config.plan import Plan
from tftune.data.dataset import Dataset
from tftune.errors import SearchError
from tftune.tuning.head_trials import Outcome
from tftune.tuning.objective import Objective
from tftune.tuning.search_space import SearchSpace

_POLL_SECONDS = 0.2
_RESTARTS = 5
_GRACE_SECONDS = 5.0
_SHOWN_LINES = 5


@dataclass
class Job:
    """What a worker must know.

    Attributes:
        models: files of the models, by the names of their backbones.
        plans: the default plan of each.
        data: what trials train on.
        space: what values stand for.
        objective: what the oracle is told.
        folds: see `HeadTrials`.
        seed: see `HeadTrials`.
        folder: where records are written.
        store: the activation cache; None for the default one.
        heads: for trials that fine-tune, what to start from: see `FineTuningTrials`. Empty for
            trials of heads.
    """

    models: Mapping[str, str]
    plans: Mapping[str, Plan]
    data: Dataset
    space: SearchSpace
    objective: Objective
    folds: int | None
    seed: int
    folder: Path
    store: ActivationStore | None
    heads: Mapping[str, tuple[Outcome, Mapping[str, Any]]] = field(default_factory=dict)


def spread(
    oracle: Any,
    models: Mapping[str, TransferModel],
    job: Job,
    count: int,
    on_change: Callable[[], None],
    say: Callable[[str], None],
) -> None:
    """Run an oracle's trials in `count` processes until it has no more.

    Args:
        oracle: is asked and told by the workers; it lives in this process.
        models: those of the job.
        job: what the workers do; its `models` are filled in here.
        count: how many processes.
        on_change: called a few times a second.
        say: told in a sentence when a worker is started again.

    Raises:
        SearchError: if a worker dies again and again.
    """
    with tempfile.TemporaryDirectory() as folder, served(oracle, "127.0.0.1:0") as (_, port):
        files = {}
        for index, (name, model) in enumerate(models.items()):
            files[name] = str(Path(folder, f"{index}.keras"))
            model.save(files[name])
        job.models = files
        load = pickle.dumps(job)
        workers = [_Worker(f"worker{index}", port, load, count, folder) for index in range(count)]
        try:
            for worker in workers:
                worker.start()
            running = workers
            while running:
                running = [worker for worker in running if worker.is_running(say)]
                on_change()
                time.sleep(_POLL_SECONDS)
            on_change()
        finally:
            for worker in workers:
                worker.stop()


@contextlib.contextmanager
def served(oracle: Any, address: str) -> Iterator[tuple[OracleServicer, int]]:
    """Let other processes ask the oracle while the block runs.

    Args:
        oracle: what is asked.
        address: where, as "host:port"; port 0 takes a free one.

    Yields:
        What answers them, and the port.
    """
    # One thread, as in keras-tuner's chief: its oracle is not made for more.
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    servicer = OracleServicer(oracle)
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise SearchError(f"The search cannot be served at {address}: {error}") from error
    server.start()
    try:
        yield servicer, port
    finally:
        server.stop(grace=None)


class _Worker:
    """A process that runs trials, started again when it dies.

    Args:
        name: by which the oracle knows it.
        port: where the oracle answers.
        load: the pickled job.
        count: how many workers share the machine.
        folder: where its last words go.
    """

    def __init__(self, name: str, port: int, load: bytes, count: int, folder: str) -> None:
        self._name = name
        self._load = load
        self._words = Path(folder, f"{name}.txt")
        self._process: subprocess.Popen[bytes] | None = None
        self._restarts = 0
        threads = str(max(1, (os.cpu_count() or 1) // count))
        self._environment = {
            **os.environ,
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": "127.0.0.1",
            "KERASTUNER_ORACLE_PORT": str(port),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            # Workers that each use all cores wait for one another.
            "TF_NUM_INTRAOP_THREADS": threads,
            "OMP_NUM_THREADS": threads,
        }

    def start(self) -> None:
        """Start the process and hand it its job."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        with self._words.open("wb") as words:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tftune.tuning.worker"],
                stdin=subprocess.PIPE,
                stdout=words,
                stderr=words,
                env=self._environment,
            )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died already; `is_running` will see
            self._process.stdin.write(self._load)
            self._process.stdin.flush()
        # Left open: the worker ends when it closes, as it does when this process is killed.

    def is_running(self, say: Callable[[str], None]) -> bool:
        """Tell whether there is more to come, after starting a dead process again."""
        assert self._process is not None
        code = self._process.poll()
        if code is None or code == 0:
            return code is None
        if self._restarts == _RESTARTS:
            words = self._words.read_text(errors="replace").strip().splitlines()
            told = " ".join(words[-_SHOWN_LINES:]) or "It said nothing."
            raise SearchError(
                f"A worker ended {_RESTARTS + 1} times before its work was done, the last time "
                f"with exit code {code}. {told}"
            )
        self._restarts += 1
        say(f"{self._name} ended with exit code {code}; it is started again.")
        self.start()
        return True

    def stop(self) -> None:
        """End the process if it still runs."""
        if self._process is None:
            return
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(_GRACE_SECONDS if self._process.poll() is None else None)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
