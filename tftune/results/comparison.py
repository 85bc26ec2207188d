"""Comparison: two models on the same examples, and whether one is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tftune.display import Displayed, Table
from tftune.results.evaluation import Interval


@dataclass(frozen=True, eq=False)
class Comparison(Displayed):
    """Two sets of answers to the same examples.

    Attributes:
        names: what the two are called.
        split: the split's name.
        num_examples: examples that both answered.
        scores: by metric, each one's figure with its interval.
        differences: by metric, the second minus the first, with the interval of a paired bootstrap.
        p_value: of McNemar's exact test that both are right equally often; None unless multiclass.
        only_right: how many examples the first alone has right, and the second alone; None unless
            multiclass.
        better: the name of the one that is better for certain, or None.
        sentence: all of it in one sentence.
        notes: what else the reader should know.
    """

    names: tuple[str, str]
    split: str
    num_examples: int
    scores: Mapping[str, tuple[Interval, Interval]]
    differences: Mapping[str, Interval]
    p_value: float | None
    only_right: tuple[int, int] | None
    better: str | None
    sentence: str
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {
            "names": list(self.names),
            "split": self.split,
            "num_examples": self.num_examples,
            "scores": {n: [asdict(i) for i in pair] for n, pair in self.scores.items()},
            "differences": {n: asdict(i) for n, i in self.differences.items()},
            "p_value": self.p_value,
            "only_right": None if self.only_right is None else list(self.only_right),
            "better": self.better,
            "sentence": self.sentence,
            "notes": list(self.notes),
        }

    def sections(self) -> list[str | Table]:
        """Show both sides, then the sentence."""
        rows = []
        for name, (first, second) in self.scores.items():
            gap = self.differences[name]
            told = f"{gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})"
            rows.append((name.replace("_", " "), f"{first.value:.3f}", f"{second.value:.3f}", told))
        title = f"{self.num_examples} examples of {self.split}"
        columns = ("metric", *self.names, "difference (95%)")
        return [Table(columns, rows, title=title), self.sentence, *self.notes]


@dataclass(frozen=True, eq=False)
class RunComparison(Displayed):
    """Several run directories side by side.

    Attributes:
        names: the runs.
        scores: by run, its headline validation figure with an interval.
        metric: what that is.
        changed: settings of plan, data and environment that are not the same in all runs, by name,
            each with one value a run.
        comparisons: the best run against each other one on the examples both answered.
        sentence: who is better, and whether that is certain.
        notes: what else the reader should know.
    """

    names: tuple[str, ...]
    scores: Mapping[str, Interval]
    metric: str
    changed: Mapping[str, tuple[str, ...]]
    comparisons: tuple[Comparison, ...]
    sentence: str
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {
            "names": list(self.names),
            "metric": self.metric,
            "scores": {name: asdict(score) for name, score in self.scores.items()},
            "changed": {name: list(values) for name, values in self.changed.items()},
            "comparisons": [comparison.to_json() for comparison in self.comparisons],
            "sentence": self.sentence,
            "notes": list(self.notes),
        }

    def sections(self) -> list[str | Table]:
        """Show the figures, what differs, then who is better."""
        rows = [
            (name, f"{score.value:.3f}", f"{score.low:.3f} to {score.high:.3f}")
            for name, score in self.scores.items()
        ]
        columns = ("run", f"validation {self.metric.replace('_', ' ')}", "95% interval")
        shown: list[str | Table] = [Table(columns, rows, title="Runs")]
        if self.changed:
            differing = [(name, *values) for name, values in self.changed.items()]
            shown.append(Table(("what differs", *self.names), differing))
        else:
            shown.append("Plan, data and environment are the same.")
        told = [comparison.sentence for comparison in self.comparisons]
        return [*shown, *told, self.sentence, *self.notes]
