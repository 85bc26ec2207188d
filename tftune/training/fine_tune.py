"""Running a plan: its phases one after another, judged after each."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

import keras
import pandas as pd

from tftune.builders.transfer_model import TransferModel
from tftune.cache.store import ActivationStore
from tftune.config import Plan
from tftune.data.dataset import Dataset
from tftune.errors import ConfigError
from tftune.evaluation.evaluate import check_classes, evaluate
from tftune.progress import Progress
from tftune.results.evaluation import Evaluation
from tftune.results.training_run import TrainingRun
from tftune.training.phase import run_phase
from tftune.training.plan import plan as make_plan
from tftune.training.run_directory import check_output, write_run

CallbackFactory = Callable[[], Sequence[keras.callbacks.Callback]]


def fine_tune(
    model: TransferModel,
    data: Dataset,
    plan: Plan | None = None,
    *,
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    verbose: bool = True,
    callbacks: CallbackFactory | None = None,
    store: ActivationStore | None = None,
) -> TrainingRun:
    """Train a model by a plan.

    In each phase everything below the lowest unfrozen stage runs once over the data and is kept in
    the cache; only what is above is trained. A phase ends with the weights that had the lowest
    validation loss, those it started with included.

    Args:
        model: trained in place.
        data: trained on `train`, judged on `validation`; `test` is not touched.
        plan: what to do; `tftune.plan(model, data)` by default.
        output: a run directory to write; nothing is written by default.
        overwrite: replace a run directory that exists.
        verbose: show progress on standard error.
        callbacks: called for each phase; returns new Keras callbacks for it.
        store: where boundary activations are cached.

    Returns:
        The record of the run; `run.model` is `model`.

    Raises:
        OutputExistsError: if `output` exists and `overwrite` is False.
        DataError: if the data's classes are not the model's.
        ConfigError: if a split that is needed is empty.
        SentinelError: if training moved other weights than the plan promises.
    """
    plan = plan or make_plan(model, data)
    check_output(output, overwrite)
    for split in (data.train, data.validation):
        if not len(split):
            raise ConfigError(
                f"`data` must have {split.name} examples. Received: none. "
                "Load it with a larger share for that split."
            )
        check_classes(model, split)
    keras.utils.set_random_seed(plan.seed)
    rows: list[dict] = []
    timings: dict[str, float] = {}
    validation: dict[str, Evaluation] = {}
    with Progress(verbose) as progress:
        for phase in plan.phases:
            own = callbacks() if callbacks else ()
            record = run_phase(model, data, plan, phase, progress, own, store)
            rows.extend(record.rows)
            for step, seconds in record.seconds.items():
                timings[f"{phase.name} {step}"] = seconds
            started = time.perf_counter()
            validation[phase.name] = evaluate(model, data.validation)
            timings["validation"] = timings.get("validation", 0) + time.perf_counter() - started
    run = TrainingRun(
        model=model,
        plan=plan,
        history=pd.DataFrame(rows),
        validation=validation,
        timings=timings,
        data_fingerprint=data.fingerprint,
        verdict=verdict(validation),
        folder=str(output) if output else "",
    )
    if output:
        write_run(run, output, overwrite)
    return run


def verdict(validation: dict[str, Evaluation]) -> str:
    """Say in one sentence whether the last phase improved on the first.

    Args:
        validation: evaluations on the same validation split, by phase, in order.

    Returns:
        A sentence with both accuracies; certain only when the intervals do not overlap.
    """
    first, last = list(validation.values())[0], list(validation.values())[-1]
    before, after = first.intervals["accuracy"], last.intervals["accuracy"]
    if len(validation) == 1:
        return f"The head alone reaches {after} validation accuracy."
    numbers = f"{after} against {before} with the head alone, on {last.num_examples} images"
    if after.low > before.high:
        return f"Fine-tuning helped: validation accuracy {numbers}."
    if after.value > before.value:
        return f"Fine-tuning may have helped, but this is not certain: {numbers}."
    return f"Fine-tuning did not help: {numbers}."
