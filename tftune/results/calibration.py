"""Calibration: whether probabilities mean what they say, and the temperature that makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tftune.display import Displayed, Table


@dataclass(frozen=True)
class ConfidenceBin:
    """Answers of similar confidence.

    Attributes:
        low: the least confidence in the bin.
        high: the largest.
        count: how many answers.
        confidence: their mean confidence.
        accuracy: the share of them that is right.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class Calibration(Displayed):
    """Confidence against accuracy.

    Attributes:
        error: expected calibration error over equal-width bins, in [0, 1].
        adaptive_error: the same over bins of equally many answers.
        bins: the equal-width bins that hold an answer.
        num_examples: how many answers; of a multilabel head one a known label.
    """

    error: float
    adaptive_error: float
    bins: tuple[ConfidenceBin, ...]
    num_examples: int

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Calibration:
        """Read what `to_json` wrote."""
        bins = tuple(ConfidenceBin(**one) for one in values["bins"])
        return cls(values["error"], values["adaptive_error"], bins, values["num_examples"])

    @property
    def sentence(self) -> str:
        """The error in words."""
        gap = sum(b.count * (b.confidence - b.accuracy) for b in self.bins) / self.num_examples
        side = "over" if gap > 0 else "under"
        told = f"Confidence is off by {self.error:.3f} on average (bins of equal counts: "
        told += f"{self.adaptive_error:.3f})"
        return f"{told}; the model is {side}confident by {abs(gap):.3f}."

    def sections(self) -> list[str | Table]:
        """Show the bins, then the error."""
        rows = [
            (
                f"{b.low:.2f} to {b.high:.2f}",
                b.count,
                f"{b.confidence:.3f}",
                f"{b.accuracy:.3f}",
            )
            for b in self.bins
        ]
        columns = ("confidence", "answers", "mean", "accuracy")
        title = f"Calibration on {self.num_examples} answers"
        return [Table(columns, rows, title=title), self.sentence]

    def plot(self) -> Any:
        """Draw the reliability diagram, with how many answers are behind each bar.

        Returns:
            A matplotlib Figure.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4.6, 4.8), layout="constrained")
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        left = [b.low for b in self.bins]
        width = [b.high - b.low for b in self.bins]
        style = {"align": "edge", "edgecolor": "white", "linewidth": 0.8}
        accuracy = [b.accuracy for b in self.bins]
        axes.bar(left, accuracy, width, color="#0072b2", label="accuracy", **style)
        mean = [b.confidence for b in self.bins]
        axes.plot(mean, mean, "_", color="#d55e00", ms=14, mew=2.5, label="mean confidence")
        axes.plot([0, 1], [0, 1], "--", color="0.45", lw=1, label="perfect")
        axes.set(ylabel="share that is right", xlim=(0, 1), ylim=(0, 1))
        axes.set_title(f"calibration error {self.error:.3f}", fontsize="medium")
        axes.legend(frameon=False, loc="upper left", fontsize="small")
        below.bar(left, [b.count for b in self.bins], width, color="0.55", **style)
        below.set(xlabel="confidence (probability of the answer)", ylabel="answers")
        return figure


@dataclass(frozen=True)
class TemperatureFit(Displayed):
    """What fitting one head's temperature found.

    Attributes:
        head: the head.
        temperature: what its logits are divided by from now on; 1 where none helps.
        fitted: the temperature that fits the examples best.
        loss_before: mean cross-entropy in nats at the temperature 1.
        loss_after: the same at temperatures fitted on other examples (cross-validated).
        error_before: expected calibration error at the temperature 1.
        error_after: the same at temperatures fitted on other examples.
        num_examples: how many.
    """

    head: str
    temperature: float
    fitted: float
    loss_before: float
    loss_after: float
    error_before: float
    error_after: float
    num_examples: int

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return asdict(self)

    @property
    def sentence(self) -> str:
        """All of it in one sentence."""
        figures = (
            f"cross-validated loss {self.loss_before:.3f} to {self.loss_after:.3f}, calibration "
            f"error {self.error_before:.3f} to {self.error_after:.3f} on {self.num_examples} "
            "examples"
        )
        if self.temperature != 1:
            return f"Temperature {self.temperature:.2f} for {self.head!r}: {figures}."
        return f"No temperature helps {self.head!r} for certain, so it stays 1: {figures}."

    def sections(self) -> list[str | Table]:
        """Say what was found."""
        return [self.sentence]
