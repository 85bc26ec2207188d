"""`search`: many trials on cached features, the best of them evaluated once on the test split."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tftune.atomic import replaced_file, write_text
from tftune.builders.new_head import with_head
from tftune.builders.transfer_model import TransferModel, load
from tftune.cache.store import ActivationStore
from tftune.data.dataset import Dataset
from tftune.errors import ConfigError, SearchError, check_choice
from tftune.evaluation.compare import compare
from tftune.evaluation.evaluate import check_classes, evaluate
from tftune.progress import Progress
from tftune.reports.page import page
from tftune.results.comparison import Comparison
from tftune.results.search_result import SearchResult
from tftune.training.plan import plan as make_plan
from tftune.tuning.budget import Clock, seconds_of
from tftune.tuning.candidates import candidates, check_search
from tftune.tuning.cluster import CHIEF, WORKER, chief_of, cluster_role, spread_over_cluster
from tftune.tuning.features import Features
from tftune.tuning.fine_tuning_trials import (
    HEAD,
    FineTuningTrials,
    best_heads,
    set_weights,
    untouched,
)
from tftune.tuning.head_trials import HeadTrials, Outcome
from tftune.tuning.objective import Objective
from tftune.tuning.oracles import ORACLES, make_oracle
from tftune.tuning.ranges import Choice, as_hyperparameters, is_logarithmic
from tftune.tuning.search_folder import begin_search, model_digest
from tftune.tuning.search_space import SearchSpace
from tftune.tuning.tier import Tier
from tftune.tuning.trial_log import TrialLog
from tftune.tuning.workers import Job, spread

_KEPT = 3  # heads whose weights stay, to fine-tune from; another is trained again if it is wanted


def search(
    model: TransferModel | Sequence[TransferModel],
    data: Dataset,
    *,
    trials: int | None = 30,
    fine_tune_trials: int | None = None,
    oracle: str = "bayesian",
    space: SearchSpace | None = None,
    objective: str | Mapping[str, float] | None = None,
    budget: str | float | None = None,
    folds: int | None = None,
    workers: int = 1,
    seed: int = 0,
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    verbose: bool = True,
    store: ActivationStore | None = None,
) -> SearchResult:
    """Search for the settings that do best on validation, with keras-tuner's oracles.

    Each backbone runs once over the data; a trial then trains a head on cached features and costs
    about as much as that. A few trials more fine-tune top stages from the best heads on. The
    default plan is tried too, before all else. The winner and the default plan are evaluated on the
    test split once, at the end.

    Trials can be spread over several machines that see `output` and the data under the same paths:
    with keras-tuner's variables KERASTUNER_TUNER_ID="chief", KERASTUNER_ORACLE_IP and
    KERASTUNER_ORACLE_PORT (where the chief listens) this call waits for workers and runs none
    itself. `tftune search DATA --output FOLDER` with the same address and another
    KERASTUNER_TUNER_ID, which stays that worker's own, is a worker.

    Args:
        model: what to search for, of images or texts, with one head or several; of several models,
            which differ in their backbones, the best is sought too. None of them is changed.
        data: trials are trained on `train` and compared on `validation`.
        trials: how many; None tries every point of a grid.
        fine_tune_trials: how many trials then fine-tune, from the default head or one of the three
            best; by default a tenth of `trials`, or half where the encoder is not pretrained; 0
            searches for heads alone.
        oracle: "random", "grid", "bayesian" or "hyperband".
        space: what may change; `SearchSpace.for_data(model, data)` by default.
        objective: a figure of the validation split: "accuracy", "macro_f1" or "loss" (for several
            labels "macro_f1", "micro_f1", "loss"; for numbers "rmse", "mae", "r2", "loss"), with
            or without "validation_" before it; or several with weights, of which the weighted sum
            is made as large as possible. By default the first of them. A figure of one of several
            heads is called after it too ("colour_accuracy"); their default is the summed "loss".
        budget: how long the trials of this call may take: "90s", "10m", "1.5h" or seconds; at most
            half of it goes into heads where some are fine-tuned. A trial that has begun is
            finished.
        folds: compare trials by cross-validation over training and validation examples in so many
            folds; by default on the validation split.
        workers: processes of this machine that run trials; one that dies is started again and its
            trial with it.
        seed: decides what the oracle draws, first weights, the order of examples and folds.
        output: a folder for the search. After a kill the same call goes on there; a larger
            `trials` or another `budget` goes on with a search that ended. By default nothing stays.
        overwrite: start anew in a folder that holds a search.
        verbose: show progress on standard error.
        store: where features are cached.

    Returns:
        The trials, the best plan, and the model trained by it.

    Raises:
        ConfigError: if settings are invalid or nothing is left to search.
        DataError: if the data's classes are not the model's.
        OutputExistsError: if `output` holds something else than a search.
        ResumeError: if it holds a search of something else; says what changed.
        SearchError: if every trial failed.
    """
    role = cluster_role()
    _check_role(role, workers, output)
    models, space = candidates(model, space, data)
    first = next(iter(models.values()))
    for each, split in itertools.product(models.values(), (data.train, data.validation)):
        check_classes(each, split)
    check_choice("oracle", oracle, ORACLES)
    goal = Objective.of(objective, first.heads)
    check_search(space, trials, oracle, workers)
    seconds = seconds_of(budget)
    identity = {
        "space": space.to_json(),
        "objective": goal.to_json(),
        "oracle": oracle,
        "seed": seed,
        "folds": folds,
        "data": data.fingerprint,
        "models": {name: model_digest(each) for name, each in models.items()},
    }
    with contextlib.ExitStack() as stack:
        progress = stack.enter_context(Progress(verbose))
        temporary = stack.enter_context(tempfile.TemporaryDirectory())
        folder = begin_search(output or Path(temporary, "search"), overwrite, identity)
        if role == CHIEF:
            stack.enter_context(chief_of(folder))
            workers = 0
        run = _Search(
            models,
            data,
            space,
            goal,
            oracle,
            folds,
            seed,
            folder,
            progress,
            store,
            workers,
            keep_logs=output is not None,
        )
        tuned = fine_tune_trials
        if tuned is None:
            tuned = max(1, (trials or 1) // (10 if first.spec.pretrained else 2))
        whole = Clock(seconds)
        try:
            run.head_trials(trials, Clock(seconds / 2 if tuned else seconds))
            if tuned:
                run.fine_tuning_trials(tuned, Clock(whole.left))
        except KeyboardInterrupt:
            if output:
                progress.say(f"Stopped. The same call goes on with the search in {folder}.")
            raise
        return run.result(str(output) if output else "")


def _check_role(role: str | None, workers: int, output: object) -> None:
    """Refuse what does not go together with a search over several machines."""
    if role == WORKER:
        raise ConfigError(
            "KERASTUNER_TUNER_ID makes this process a worker, and `search` runs on the chief. "
            "Start a worker by `tftune search DATA --output FOLDER`."
        )
    if role == CHIEF and (workers != 1 or output is None):
        raise ConfigError(
            "A search over several machines needs an `output` that all of them see, and counts "
            f"its workers itself. Received: output {output!r}, workers {workers}."
        )


class _Search:
    """A search under way; with 0 `workers` those of a cluster run its trials."""

    def __init__(
        self,
        models: Mapping[str, TransferModel],
        data: Dataset,
        space: SearchSpace,
        objective: Objective,
        oracle: str,
        folds: int | None,
        seed: int,
        folder: Path,
        progress: Progress,
        store: ActivationStore | None,
        workers: int,
        keep_logs: bool,
    ) -> None:
        self._models = models
        self._data = data
        self._space = space
        self._objective = objective
        self._oracle = oracle
        self._folds = folds
        self._seed = seed
        self._folder = folder
        self._progress = progress
        self._store = store
        self._workers = workers
        self._log = TrialLog(folder / "logs" if keep_logs else None)
        self._plans = {
            # What is searched over are the settings of fine-tuning.
            name: make_plan(each, data, seed=seed, estimate=False, contrastive=False)
            for name, each in models.items()
        }
        self._tiers: list[Tier] = []
        self.seconds: dict[str, float] = {}

    def head_trials(self, trials: int | None, clock: Clock) -> None:
        """Fill the cache, try the default plan, then what the oracle asks for."""
        poolings = self._space.possible("pooling")
        features = Features(self._models, self._data, poolings, self._store, self._progress)
        with self._timed("cache"):
            features.prepare()
        run = HeadTrials(features, self._plans, self._space, self._seed, self._folds)
        with self._timed("head trials"):
            ranges = self._space.ranges(fine_tuning=False)
            oracle = self._make_oracle(ranges, trials, 0, self._space.head_epochs)
            folder = self._folder / "head"
            tier = Tier("head", run, oracle, ranges, self._objective, folder, _KEPT)
            self._tiers.append(tier)
            tier.search(clock, self._progress, self._log, self._spread_in(folder, {}))
        if not (tier.table()["status"] == "done")[1:].any():
            reasons = tier.table()["reason"][1:]
            reason = reasons.iloc[0] if len(reasons) else "None began within the budget."
            raise SearchError(f"No trial of the search ended well. The first: {reason}")

    def fine_tuning_trials(self, trials: int, clock: Clock) -> None:
        """Fine-tune from the default head, then from the best ones as the oracle asks."""
        (head,) = self._tiers
        names = best_heads(ranked(head.table(), self._objective), _KEPT, head.default_name)
        found = {name: functools.partial(head.outcome, name) for name in names}
        heads = {name: (found[name], head.settings_of(name)) for name in names}
        run = FineTuningTrials(
            self._models, self._data, self._plans, self._space, heads, self._store
        )
        ranges = {HEAD: Choice(*names[::-1]), **self._space.ranges(fine_tuning=True)}
        oracle = self._make_oracle(ranges, trials, 1, self._space.fine_tune_epochs)
        # Trials from other heads, after more trials of heads, are another search.
        folder = self._folder / f"fine_tuning_from_{'_'.join(names)}"
        with self._timed("fine-tuning trials"):
            tier = Tier("fine-tuning", run, oracle, ranges, self._objective, folder, 1)
            self._tiers.append(tier)
            known = {name: (find(), settings) for name, (find, settings) in heads.items()}
            tier.search(clock, self._progress, self._log, self._spread_in(folder, known))

    def result(self, output: str) -> SearchResult:
        """Choose the winner, train it where its weights were not kept, and evaluate it."""
        table = pd.concat([tier.table() for tier in self._tiers], ignore_index=True)
        last = self._tiers[-1]
        # Figures over folds and figures on validation do not compare.
        compared = last.table() if self._folds else table
        winner = ranked(compared, self._objective)[0]
        tier = next(tier for tier in self._tiers if winner in set(tier.table()["trial"]))
        with self._timed("evaluation"):
            best = tier.outcome(winner)
            model = self._model_of(best, "model.keras")
            test = {}
            if len(self._data.test):
                test["best"] = evaluate(model, self._data.test)
                test["default"] = test["best"]
                if winner != last.default_name:
                    usual = self._model_of(last.outcome(last.default_name), "default.keras")
                    test["default"] = evaluate(usual, self._data.test)
        comparisons: list[Comparison] = []
        if len(self._data.test) > 1 and winner != last.default_name:
            usual_heads, found_heads = ((e, *e.others) for e in (test["default"], test["best"]))
            comparisons = [
                compare(one, two, names=("default", "best"))
                for one, two in zip(usual_heads, found_heads, strict=True)
            ]
        ranges = {name: value for tier in self._tiers for name, value in tier.ranges.items()}
        result = SearchResult(
            trials=table,
            winner=winner,
            plan=best.plan,
            model=model,
            objective=self._objective.name,
            rule=self._objective.rule,
            more_is_better=self._objective.more_is_better,
            judged_on=f"{self._folds} folds" if self._folds else "validation",
            searched={name: is_logarithmic(value) for name, value in ranges.items()},
            test=test,
            comparison=comparisons[0] if comparisons else None,
            others=tuple(comparisons[1:]),
            seconds=dict(self.seconds),
            folder=output,
        )
        if output:
            best.plan.save(self._folder / "plan.json")
            with replaced_file(self._folder / "trials.csv") as temporary:
                table.to_csv(temporary, index=False)
            write_text(self._folder / "report.html", page("Search", [result.report()]))
        return result

    def _make_oracle(
        self, ranges: Mapping[str, Any], trials: int | None, phase: int, epochs: Any
    ) -> Any:
        goal = self._objective.for_keras_tuner()
        usual = next(iter(self._plans.values())).phases[phase].epochs
        longest = epochs if isinstance(epochs, int) else usual
        return make_oracle(
            self._oracle, as_hyperparameters(ranges), goal, trials, self._seed, longest
        )

    def _spread_in(
        self, folder: Path, heads: Mapping[str, tuple[Outcome, Mapping[str, Any]]]
    ) -> Callable[[Any, Callable[[], None]], None] | None:
        """Return what runs a tier's trials in other processes; None where this one does."""
        if self._workers == 1:
            return None
        job = Job(
            models={},
            plans=self._plans,
            data=self._data,
            space=self._space,
            objective=self._objective,
            folds=self._folds,
            seed=self._seed,
            folder=folder.resolve(),
            store=self._store,
            heads=heads,
        )

        def run(oracle: Any, on_change: Callable[[], None]) -> None:
            say = self._progress.say
            if self._workers:
                spread(oracle, self._models, job, self._workers, on_change, say)
            else:
                place = self._folder.resolve()
                spread_over_cluster(oracle, self._models, job, place, on_change, say)

        return run

    def _model_of(self, outcome: Outcome, name: str) -> TransferModel:
        """Return a model with a trial's weights, which shares no layer with those searched."""
        file = self._folder / name
        searched = self._models[outcome.backbone]
        with untouched(searched):
            shared = with_head(searched, **outcome.head)
            set_weights(shared, outcome.weights)
            shared.set_trainable("none")
            shared.save(file)
        own = load(file)
        if name != "model.keras":
            file.unlink()
        return own

    @contextlib.contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[what] = time.perf_counter() - began


def ranked(table: pd.DataFrame, objective: Objective) -> list[str]:
    """Name the trials that ended well, the best first: by the objective, by loss, the earlier."""
    done = table[table["status"] == "done"]
    order = done.sort_values(
        [objective.name, "loss"] if objective.name != "loss" else ["loss"],
        ascending=[not objective.more_is_better, True] if objective.name != "loss" else [True],
        kind="stable",
    )
    return order["trial"].astype(str).tolist()
