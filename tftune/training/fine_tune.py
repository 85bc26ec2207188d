"""Running a plan: its phases one after another, judged after each."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from tftune.builders.text_encoders import NGRAMS
from tftune.builders.transfer_model import TransferModel
from tftune.cache.store import ActivationStore
from tftune.config.model_spec import TAGS
from tftune.config.plan import Plan
from tftune.data.bad_files import bad_files_named
from tftune.data.dataset import Dataset
from tftune.errors import CacheFullError, ConfigError, DataError
from tftune.evaluation.calibration import calibrate_with
from tftune.evaluation.evaluate import check_classes, evaluate_logits
from tftune.progress import Progress
from tftune.results.training_run import TrainingRun
from tftune.training.callbacks import copy_of
from tftune.training.checkpoint import Checkpoints
from tftune.training.contrastive import check_contrastive
from tftune.training.devices import Devices, check_strategy
from tftune.training.estimate import estimate_costs, expected_steps, scratch_seconds
from tftune.training.forgetting import measure_forgetting
from tftune.training.from_scratch import STEP as FROM_SCRATCH
from tftune.training.from_scratch import check_from_scratch, floor_logits, logits_from_scratch
from tftune.training.live_plot import LivePlot
from tftune.training.logs import scalar_log
from tftune.training.optimizer import check_optimizers
from tftune.training.phase import Surroundings, run_phase
from tftune.training.plan import plan as make_plan
from tftune.training.rows import PlannedRows
from tftune.training.run_directory import begin_run, check_output, checkpoint_folder, finish_run
from tftune.training.run_state import RunState
from tftune.training.seeds import seed_layers
from tftune.training.sentinel import promised_variables
from tftune.training.text_baseline import TFIDF, USUAL_TAG, tfidf_logits, usual_tag_logits
from tftune.training.verdict import judge_heads

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
    strategy: tf.distribute.MirroredStrategy | None = None,
    from_scratch: bool | None = None,
) -> TrainingRun:
    """Train a model by a plan.

    In each phase everything below the lowest unfrozen stage runs once over the data and is kept in
    the cache; only what is above is trained. A phase ends with the weights that had the lowest
    validation loss, those it started with included.

    Args:
        model: trained in place.
        data: trained on `train`, judged on `validation`; `test` is not touched.
        plan: what to do; `tftune.plan(model, data)` by default.
        output: a run directory to write; nothing is written by default. Checkpoints go there
            while training goes on: after a kill the same call continues at the next batch.
        overwrite: replace a run directory that exists.
        verbose: show progress on standard error with the time remaining, and in a notebook draw
            the curves as they grow.
        callbacks: called for each phase; returns new Keras callbacks for it.
        store: where boundary activations are cached.
        strategy: train on all its devices at once, each with an equal part of every batch; the
            examples beyond an epoch's last whole batch are left out, others in every epoch. The
            frozen part runs and validation is done on one device. What cannot be trained right
            that way is refused by name.
        from_scratch: also train a copy with random weights for as many epochs, so that the verdict
            says whether transfer helped at all. Nothing of it can be cached, so it takes much
            longer than the run; a kill in it begins it anew. None trains no copy, but for a text
            model the small encoder "ngrams", the floor of pretrained ones; False neither.

    Returns:
        The record of the run; `run.model` is `model`.

    Raises:
        OutputExistsError: if `output` holds a finished run and `overwrite` is False.
        ResumeError: if it holds an unfinished run of another plan, data or model.
        DataError: if the data's classes are not the model's, or a split has no known label.
        ConfigError: if a split that is needed is empty, or `strategy` cannot do what is planned.
        SentinelError: if training moved other weights than the plan promises.
        NonFiniteLossError: if the loss became NaN or infinite; the best weights so far are back.
    """
    plan = plan or make_plan(model, data, estimate=verbose)
    check_output(output, overwrite)
    for split in (data.train, data.validation):
        if not len(split):
            raise ConfigError(
                f"`data` must have {split.name} examples. Received: none. "
                "Load it with a larger share for that split."
            )
        check_classes(model, split)
        unknown = [target.name for target in split.targets if not target.partly_known.any()]
        if unknown:
            raise DataError(f"No example of the {split.name} split has a known {unknown[0]!r}.")
    check_strategy(strategy, model, data, plan)
    check_contrastive(model, plan.phases)
    check_optimizers(plan.phases)
    if from_scratch:
        check_from_scratch(model)
    folder = None
    if output is not None:
        folder = begin_run(output, overwrite, plan, _digests(model, data))
    state = RunState(model, plan, Checkpoints(checkpoint_folder(folder) if folder else None))
    pretrained = _pretrained(model, plan)
    model.known = None  # its features are about to change
    keras.utils.set_random_seed(plan.seed)
    with Progress(verbose) as progress, scalar_log(folder) as log:
        if verbose:
            costs = plan.costs or estimate_costs(model, data, plan, store)
            ahead = expected_steps(plan, costs, data)
            if from_scratch:
                ahead[FROM_SCRATCH] = scratch_seconds(model, data, plan)
            progress.expect(ahead)
        features = _pretrained_features(model, data, plan, progress, store)
        if state.read():
            progress.step(f"continuing with {plan.labels[state.phase]}")(1, 1)
        else:
            state.begin(0)
        live = LivePlot(verbose)

        def tell(row: dict[str, Any]) -> None:
            log(row)
            live.add(row)

        around = Surroundings(
            plan, progress, callbacks or (lambda: ()), store, tell, state, pretrained
        )
        around.devices = Devices(strategy)
        try:
            with around.interrupts.noted():
                for index in range(state.phase, len(plan.phases)):
                    seed_layers(model, plan.seed, index)
                    with bad_files_named(data.train.examples, data.validation.examples):
                        state.finished.append(run_phase(model, data, index, around))
                    if index + 1 < len(plan.phases):
                        state.begin(index + 1)
                scratch, floor = None, {}
                if from_scratch:
                    scratch = logits_from_scratch(model, data, plan, progress, around.interrupts)
                if from_scratch is not False:
                    floor = floor_logits(model, data, plan, progress, around.interrupts)
        except KeyboardInterrupt:
            live.draw()
            if folder is not None:
                progress.say(f"Stopped. The same command or call continues the run in {folder}.")
            raise
        live.draw()
    forgetting = None
    if features is not None and around.last_cut is not None:
        forgetting = measure_forgetting(around.last_cut, features, data.validation.name)
    started = time.perf_counter()
    validation, notes = {}, [note for record in state.finished for note in record.notes]
    for record in state.finished:
        if plan.calibrate and record is state.finished[-1]:
            fits = calibrate_with(model, data.validation, record.logits["kept"], plan.seed)
            notes.extend(fit.sentence for fit in fits)
        validation[record.label] = evaluate_logits(model, data.validation, record.logits["kept"])
    timings = {
        f"{record.label} {step}": seconds
        for record in state.finished
        for step, seconds in record.seconds.items()
    }
    simple = tfidf_logits(data, model.heads)
    usual = usual_tag_logits(data, model.heads)
    found = ((TFIDF, simple), (NGRAMS, floor), (USUAL_TAG, usual))
    baselines = {name: each for name, each in found if each}
    timings["validation"] = time.perf_counter() - started
    run = TrainingRun(
        model=model,
        plan=plan,
        history=pd.DataFrame([row for record in state.finished for row in record.rows]),
        validation=validation,
        timings=timings,
        data_fingerprint=data.fingerprint,
        verdict=judge_heads(model.heads, state.finished, data.validation, scratch, baselines),
        folder=str(output) if output else "",
        forgetting=forgetting,
        notes=tuple(notes),
    )
    if output is not None and folder is not None:
        finish_run(run, data, folder, output)
        Checkpoints(checkpoint_folder(Path(output))).clear()
    return run


def _pretrained_features(
    model: TransferModel,
    data: Dataset,
    plan: Plan,
    progress: Progress,
    store: ActivationStore | None,
) -> np.ndarray | None:
    """Return the pretrained features of the validation split, which the first phase needs too.

    Returns:
        Shape (num_examples, num_features); None where no phase moves features or keeps them.
    """
    first, last = plan.phases[0], plan.phases[-1]
    moves = last.epochs and model.boundary_below(last.unfreeze) not in (
        None,
        model.spec.pooled_layer,
    )
    if plan.cache != "disk" or first.unfreeze != "none" or not moves or model.task == TAGS:
        return None
    rows = PlannedRows(model, plan, progress, store)
    try:
        return np.asarray(rows.of(data.validation, model.spec.pooled_layer))
    except CacheFullError:
        return None


def _digests(model: TransferModel, data: Dataset) -> dict[str, str]:
    """Digest what a run depends on; the head's first weights are random, so they do not count."""
    trunk, _ = model.cut(model.spec.pooled_layer)
    digest = hashlib.blake2b(trunk.fingerprint.encode(), digest_size=16)
    digest.update(repr(model.spec.heads).encode())
    return {"data": data.fingerprint, "model": digest.hexdigest()}


def _pretrained(model: TransferModel, plan: Plan) -> dict[str, np.ndarray]:
    """Copy the backbone's weights that a phase will pull towards, if any does."""
    backbone = {operation.name for operation in model.backbone.operations}
    kept = {}
    for phase in plan.phases:
        if phase.l2_sp:
            for weight in promised_variables(model, phase.unfreeze):
                if weight.path.split("/")[0] in backbone:
                    kept[weight.path] = copy_of([weight])[0]
    return kept
