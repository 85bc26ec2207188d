"""A worker process: `python -m tftune.tuning.worker [FOLDER]`.

Its job comes on standard input from `tftune.tuning.workers`, or with FOLDER, that of a search on
several machines, from there. keras-tuner finds the chief by the environment: KERASTUNER_ORACLE_IP,
KERASTUNER_ORACLE_PORT and KERASTUNER_TUNER_ID.
"""

from __future__ import annotations

import functools
import os
import pickle
import sys
import threading
from pathlib import Path

import keras_tuner

from tftune.builders.transfer_model import load
from tftune.progress import Progress
from tftune.tuning.cluster import jobs
from tftune.tuning.features import Features
from tftune.tuning.fine_tuning_trials import FineTuningTrials
from tftune.tuning.head_trials import HeadTrials, Outcome
from tftune.tuning.oracles import make_oracle
from tftune.tuning.tuner import RunTrial, TrialTuner
from tftune.tuning.workers import Job


def main() -> None:
    """Run trials until the chief has no more."""
    if len(sys.argv) > 1:
        work_in(Path(sys.argv[1]))
        return
    stream = sys.stdin.buffer
    job: Job = pickle.load(stream)
    threading.Thread(target=_end_with_the_chief, args=(stream.fileno(),), daemon=True).start()
    work(job)


def work_in(folder: Path) -> int:
    """Run trials of a search on several machines until its chief has no more.

    Args:
        folder: that of the search, which its chief makes.

    Returns:
        How many trials were run here.
    """
    return sum(work(job) for job in jobs(folder))


def work(job: Job) -> int:
    """Run a job's trials until the chief has no more; returns how many."""
    trials = _trials(job)
    count = 0

    def counted() -> None:
        nonlocal count
        count += 1

    # The oracle that decides is the chief's; keras-tuner asks for one here to say what is wanted.
    oracle = make_oracle(
        "random", keras_tuner.HyperParameters(), job.objective.for_keras_tuner(), 1, job.seed, 1
    )
    TrialTuner(oracle, trials, job.objective, job.folder, counted).search()
    return count


def _trials(job: Job) -> RunTrial:
    models = {name: load(file) for name, file in job.models.items()}
    if job.heads:
        heads = {
            name: (functools.partial(_same, outcome), settings)
            for name, (outcome, settings) in job.heads.items()
        }
        return FineTuningTrials(models, job.data, job.plans, job.space, heads, job.store)
    poolings = job.space.possible("pooling")
    features = Features(models, job.data, poolings, job.store, Progress(enabled=False))
    return HeadTrials(features, job.plans, job.space, job.seed, job.folds)


def _same(outcome: Outcome) -> Outcome:
    return outcome


def _end_with_the_chief(pipe: int) -> None:
    """End this process when the chief's end of the pipe closes, whatever it is doing."""
    # Not through the buffered stream, whose lock would still be held when Python shuts down.
    os.read(pipe, 1)
    os._exit(1)


if __name__ == "__main__":
    main()
