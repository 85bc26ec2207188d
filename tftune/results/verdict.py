"""Verdict: whether fine-tuning helped, by how much, and whether that is certain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tftune.display import Displayed, Table
from tftune.results.evaluation import Interval


@dataclass(frozen=True, eq=False)
class Verdict(Displayed):
    """The same validation examples under every set of weights that a run considered.

    Attributes:
        scores: a score with its interval by candidate, in the order they came to be: "probe" (the
            head on frozen features), "fine-tuned", "interpolated", "from scratch"; for texts
            "TF-IDF", logistic regression on words and pairs of words.
        metric: what the score is: "accuracy", "label accuracy" or "negative error".
        gain: the kept weights' score minus the probe's, with the interval of a paired bootstrap.
        p_value: of McNemar's exact test that both are right equally often; None where the score
            does not count right answers.
        num_examples: validation examples.
        sentence: all of it in one sentence.
        head: the head that is judged, where the model has several.
        others: the verdicts on the model's other heads.
    """

    scores: Mapping[str, Interval]
    metric: str
    gain: Interval
    p_value: float | None
    num_examples: int
    sentence: str
    head: str = ""
    others: tuple[Verdict, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {
            "sentence": self.sentence,
            "metric": self.metric,
            "scores": {name: asdict(score) for name, score in self.scores.items()},
            "gain": asdict(self.gain),
            "p_value": self.p_value,
            "num_examples": self.num_examples,
            "head": self.head,
            "others": [other.to_json() for other in self.others],
        }

    def sections(self) -> list[str | Table]:
        """Show every candidate, then the sentence."""
        rows = [
            (name, f"{score.value:.3f}", f"{score.low:.3f} to {score.high:.3f}")
            for name, score in self.scores.items()
        ]
        on = f"{self.head!r} on " if self.head else "on "
        title = f"Verdict {on}{self.num_examples} validation examples"
        return [
            Table(("weights", self.metric, "95% interval"), rows, title=title),
            self.sentence,
            *(section for other in self.others for section in other.sections()),
        ]
