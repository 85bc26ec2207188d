"""SearchResult: the trials of a search, the best plan, and the model trained by it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from tftune.config.plan import Plan
from tftune.display import Displayed, Table
from tftune.results.comparison import Comparison
from tftune.results.evaluation import Evaluation
from tftune.results.search_plots import plot_search

_SHOWN = 10


@dataclass(frozen=True, eq=False)
class SearchResult(Displayed):
    """The record of one `search`.

    Attributes:
        trials: a row a trial, the default plan first: trial, tier, status ("done" or "failed"), the
            objective, the other figures, what was searched, epochs, seconds and reason (why it
            failed, or what the reader should know).
        winner: which trial was best; "default" if none was better than the default plan.
        plan: the winner's plan, which `fine_tune` takes as it is.
        model: the winner, trained; it shares nothing with the model that was searched.
        objective: what trials were compared by.
        rule: the same in words.
        more_is_better: whether a large objective is good.
        judged_on: "validation", or how many folds.
        searched: what differs between trials, and whether magnitudes are what counts in it.
        test: the evaluation of "default" and "best" on the test split; empty without test examples.
        comparison: of the default plan and the winner on the test split, by the first head; None
            without test examples or where the default plan won.
        seconds: what each part took.
        folder: where the search was written, or an empty string.
        notes: what else the reader should know, one sentence each.
        others: the same comparison by the model's other heads.
    """

    trials: pd.DataFrame
    winner: str
    plan: Plan
    model: Any
    objective: str
    rule: str
    more_is_better: bool
    judged_on: str
    searched: Mapping[str, bool]
    test: Mapping[str, Evaluation]
    comparison: Comparison | None
    seconds: Mapping[str, float]
    folder: str = ""
    notes: tuple[str, ...] = field(default=())
    others: tuple[Comparison, ...] = field(default=())

    def plot(self) -> Any:
        """Draw the objective by trial, what each setting does to it, and parallel coordinates.

        Returns:
            A matplotlib Figure.
        """
        return plot_search(
            self.trials, self.objective, self.more_is_better, self.searched, self.winner
        )

    def report(self) -> str:
        """Return the search as an HTML fragment, with its picture inside."""
        stream = io.StringIO()
        self.plot().savefig(stream, format="svg")
        picture = stream.getvalue()
        picture = picture[picture.index("<svg") :]
        return f'<div class="scroll">{self._repr_html_()}</div><figure>{picture}</figure>'

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary of all but the model."""
        return {
            "winner": self.winner,
            "objective": self.objective,
            "rule": self.rule,
            "judged_on": self.judged_on,
            "trials": json.loads(self.trials.to_json(orient="records")),
            "plan": self.plan.to_json(),
            "test": {name: evaluation.metrics for name, evaluation in self.test.items()},
            "comparison": self.comparison.to_json() if self.comparison else None,
            "others": [other.to_json() for other in self.others],
            "verdict": self.verdict,
            "seconds": dict(self.seconds),
            "folder": self.folder,
        }

    @property
    def best(self) -> pd.Series:
        """The winner's row of the table."""
        return self.trials[self.trials["trial"] == self.winner].iloc[0]

    def ranked(self) -> pd.DataFrame:
        """Return the trials that ended well, the best first."""
        done = self.trials[self.trials["status"] == "done"]
        order = {self.objective: not self.more_is_better, "loss": True}
        return done.sort_values(list(order), ascending=list(order.values()), kind="stable")

    def sections(self) -> list[str | Table]:
        """Show the best trials, what failed, what it cost, and the winner on the test split."""
        varied = [name for name in self.searched if name in self.trials]
        ranked = self.ranked()
        rows = [
            (
                row["trial"],
                f"{row[self.objective]:.4g}",
                _settings(row, varied),
                _cell(row["epochs"]),
                f"{row['seconds']:.1f}" if row["seconds"] == row["seconds"] else "",
            )
            for row in ranked.head(_SHOWN).to_dict("records")
        ]
        told = self.objective.replace("_", " ")
        columns = ("trial", told, "settings", "epochs", "seconds")
        failed = self.trials[self.trials["status"] == "failed"]
        count = int((~self.trials["trial"].str.startswith("default")).sum())
        title = f"Search: {count} trial(s) beside the default plan, by {self.judged_on}; the best"
        shown: list[str | Table] = [Table(columns, rows, title=title)]
        shown.extend(
            f"Trial {row['trial']} failed: {row['reason']}" for row in failed.to_dict("records")
        )
        spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items())
        shown.append(f"Chosen by the {self.rule}. Time: {spent}.")
        shown.extend(self.notes)
        if self.verdict is not None:
            shown.extend(self.verdict.splitlines())
        return shown

    @property
    def verdict(self) -> str | None:
        """Whether searching helped, on the test split, and whether that is certain."""
        if "best" not in self.test:
            return None
        best = self.test["best"]
        told = []
        for index, evaluation in enumerate((best, *best.others)):
            comparison = (self.comparison, *self.others)[index] if self.comparison else None
            which = f"{evaluation.head}: " if best.others else ""
            told.append(which + self._verdict_on(evaluation, comparison))
        return "\n".join(told)

    def _verdict_on(self, best: Evaluation, comparison: Comparison | None) -> str:
        figure = best.headline
        score = best.intervals.get(figure, best.metrics[figure])
        told = f"Test {figure.replace('_', ' ')} {score}"
        if comparison is None:
            return f"{told}, by the default plan: no trial was better than it on {self.judged_on}."
        if comparison.better == "best":
            return f"{told}. Searching helped: {comparison.sentence}"
        if comparison.better == "default":
            return f"{told}. Searching harmed: {comparison.sentence}"
        return f"{told}. Whether searching helped is not certain: {comparison.sentence}"


def _settings(row: Mapping[str, Any], names: Iterable[str]) -> str:
    told = [(name.replace("_", " "), _cell(row[name])) for name in names]
    return ", ".join(f"{name} {value}" for name, value in told if value) or "as planned by default"


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}" if value != int(value) or abs(value) >= 1e6 else f"{value:g}"
    return str(value)
