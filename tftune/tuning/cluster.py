"""A search over several machines, by keras-tuner's environment variables.

One process, the chief, asks the oracle; the others run its trials. What they are to do they read
from the search's folder, which all of them see.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from keras_tuner.src.distribute.oracle_chief import exit_chief

from tftune.atomic import replaced_file
from tftune.builders.transfer_model import TransferModel
from tftune.errors import ConfigError
from tftune.tuning.workers import Job, served

_ADDRESS = ("KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")
_NAME = "KERASTUNER_TUNER_ID"
_FOLDER = "cluster"
_JOB = "job.pickle"
_POLL_SECONDS = 0.5

WORKER, CHIEF = "worker", "chief"


def cluster_role() -> str | None:
    """Say what this process is by keras-tuner's variables: "chief", "worker" or None.

    Raises:
        ConfigError: if only some of them are set.
    """
    names = (*_ADDRESS, _NAME)
    missing = [name for name in names if name not in os.environ]
    if _ADDRESS[0] not in os.environ:
        return None
    if missing:
        raise ConfigError(
            f"A search over several machines needs {', '.join(names)}. Not set: "
            f"{', '.join(missing)}."
        )
    return CHIEF if CHIEF in os.environ[_NAME] else WORKER


@contextlib.contextmanager
def chief_of(folder: Path) -> Iterator[None]:
    """Tell workers, once the block is left, that there is nothing more to do."""
    shutil.rmtree(folder / _FOLDER, ignore_errors=True)
    try:
        yield
    finally:
        shutil.rmtree(folder / _FOLDER, ignore_errors=True)


def spread_over_cluster(
    oracle: Any,
    models: Mapping[str, TransferModel],
    job: Job,
    folder: Path,
    on_change: Callable[[], None],
    say: Callable[[str], None],
) -> None:
    """Let the workers of a cluster run an oracle's trials until it has no more.

    A worker that dies is to be started again under its name: its trial waits for it.

    Args:
        oracle: is asked and told by the workers; it lives in this process.
        models: those of the job.
        job: what the workers do; its `models` are filled in here.
        folder: that of the search.
        on_change: called about twice a second.
        say: told in a sentence what is waited for.
    """
    place = folder / _FOLDER
    files = {}
    for index, (name, model) in enumerate(models.items()):
        files[name] = str(place / f"{index}.keras")
        place.mkdir(parents=True, exist_ok=True)
        model.save(files[name])
    address = ":".join(os.environ[name] for name in _ADDRESS)
    with served(oracle, address) as (servicer, _):
        with replaced_file(place / _JOB) as temporary:
            temporary.write_bytes(pickle.dumps(dataclasses.replace(job, models=files)))
        say(f"Workers of a cluster are waited for at {address}.")
        while not (servicer.stop_triggered and exit_chief(oracle)):
            time.sleep(_POLL_SECONDS)
            on_change()


def jobs(folder: Path) -> Iterator[Job]:
    """Wait for the jobs of a search, one after another, until its chief has no more.

    Args:
        folder: that of the search, which may not exist yet.
    """
    file = folder / _FOLDER / _JOB
    done: set[Path] = set()
    while True:
        try:
            job: Job = pickle.loads(file.read_bytes())
        except FileNotFoundError:
            if done:
                return
            job = None  # type: ignore[assignment]
        if job is not None and job.folder not in done:
            yield job
            done.add(job.folder)
        time.sleep(_POLL_SECONDS)
