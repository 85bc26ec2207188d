"""A worker process: `python -m tftune.tuning.worker`, with its job on standard input.

keras-tuner finds the chief by the environment: KERASTUNER_ORACLE_IP, KERASTUNER_ORACLE_PORT and
KERASTUNER_TUNER_ID, which `tftune.tuning.workers` sets.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading

import keras_tuner

from tftune.builders.transfer_model import load
from tftune.progress import Progress
from tftune.training.plan import plan as make_plan
from tftune.tuning.features import Features
from tftune.tuning.head_trials import HeadTrials
from tftune.tuning.oracles import make_oracle
from tftune.tuning.tuner import TrialTuner
from tftune.tuning.workers import Job


def main() -> None:
    """Run trials until the chief has no more."""
    stream = sys.stdin.buffer
    job: Job = pickle.load(stream)
    threading.Thread(target=_end_with_the_chief, args=(stream.fileno(),), daemon=True).start()
    models = {name: load(file) for name, file in job.models.items()}
    features = Features(
        models, job.data, job.space.possible("pooling"), job.store, Progress(enabled=False)
    )
    plans = {name: make_plan(model, job.data, seed=job.seed) for name, model in models.items()}
    trials = HeadTrials(features, plans, job.space, job.seed, job.folds)
    # The oracle that decides is the chief's; keras-tuner asks for one here to say what is wanted.
    oracle = make_oracle(
        "random", keras_tuner.HyperParameters(), job.objective.for_keras_tuner(), 1, job.seed, 1
    )
    TrialTuner(oracle, trials, job.objective, job.folder).search()


def _end_with_the_chief(pipe: int) -> None:
    """End this process when the chief's end of the pipe closes, whatever it is doing."""
    # Not through the buffered stream, whose lock would still be held when Python shuts down.
    os.read(pipe, 1)
    os._exit(1)


if __name__ == "__main__":
    main()
