"""Robustness: how a model does on spoiled images, and on parts of the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tftune.display import Displayed, Table
from tftune.results.evaluation import Interval


@dataclass(frozen=True, eq=False)
class RobustnessReport(Displayed):
    """A score on clean images and on the same images spoiled.

    Attributes:
        split: the split's name.
        num_examples: images measured.
        metric: what the score is: "accuracy", "label_accuracy" or "mae".
        clean: on the images as they are.
        spoiled: by corruption, five scores from the mildest to the worst.
        phone_resize: with the pixels that MediaPipe's resize gives on a phone.
        phone_difference: that minus clean, with the interval of a paired bootstrap.
    """

    split: str
    num_examples: int
    metric: str
    clean: Interval
    spoiled: Mapping[str, tuple[Interval, ...]]
    phone_resize: Interval
    phone_difference: Interval

    @property
    def means(self) -> dict[str, float]:
        """The mean score over the five levels, by corruption."""
        return {n: sum(i.value for i in row) / len(row) for n, row in self.spoiled.items()}

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return asdict(self)

    def sections(self) -> list[str | Table]:
        """Show one row a corruption."""
        rows = [
            (name, *(f"{i.value:.3f}" for i in row), f"{self.means[name]:.3f}")
            for name, row in self.spoiled.items()
        ]
        metric = self.metric.replace("_", " ")
        title = f"Robustness on {self.num_examples} images of {self.split}: {metric} by level"
        gap = self.phone_difference
        return [
            Table(("corruption", "1", "2", "3", "4", "5", "mean"), rows, title=title),
            f"Clean images: {self.clean}. Resized as on a phone: {self.phone_resize}, a difference "
            f"of {gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f}).",
        ]

    def plot(self) -> Any:
        """Draw the score over levels, a line a corruption.

        Returns:
            A matplotlib Figure.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5.6, 3.6), layout="constrained")
        axes = figure.subplots()
        # Okabe and Ito's colours, which the colour-blind tell apart; markers for everybody.
        colours = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
        for (name, row), colour, marker in zip(
            self.spoiled.items(), colours, "os^Dv*", strict=False
        ):
            levels = range(len(row) + 1)
            scores = [self.clean.value, *(i.value for i in row)]
            axes.plot(levels, scores, marker=marker, ms=4, color=colour, label=name)
        metric = self.metric.replace("_", " ")
        axes.set(xlabel="level (0 is the clean image)", ylabel=f"{metric} ({self.split})")
        axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
        return figure


@dataclass(frozen=True)
class Slice:
    """Examples that share a value of a column.

    Attributes:
        column: the column.
        value: what they share.
        num_examples: how many.
        score: their mean score.
        difference: that minus the score of all other examples.
        p_value: of Welch's test that it is no other, times the number of slices tested (at most 1).
    """

    column: str
    value: str
    num_examples: int
    score: Interval
    difference: float
    p_value: float


@dataclass(frozen=True, eq=False)
class SliceReport(Displayed):
    """A score by the values of columns.

    Attributes:
        split: the split's name.
        metric: what the score is: "accuracy", "label_accuracy" or "mae".
        overall: the score of all examples.
        slices: the worst first.
        least: slices with fewer examples were left out.
        left_out: how many were.
    """

    split: str
    metric: str
    overall: Interval
    slices: tuple[Slice, ...]
    least: int
    left_out: int

    @property
    def worst(self) -> Slice | None:
        """The slice with the worst score; None if none is large enough."""
        return self.slices[0] if self.slices else None

    @property
    def sentence(self) -> str:
        """The worst slice in words."""
        if self.worst is None:
            return f"No slice has {self.least} examples."
        w = self.worst
        sure = "which chance hardly explains" if w.p_value < 0.05 else "which may be chance"
        return (
            f"Worst: {w.column} = {w.value}, {self.metric.replace('_', ' ')} {w.score} on "
            f"{w.num_examples} examples, {w.difference:+.3f} from the rest, {sure} "
            f"(p = {w.p_value:.2g}, corrected for {len(self.slices)} slices)."
        )

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return asdict(self)

    def sections(self) -> list[str | Table]:
        """Show one row a slice, then the worst."""
        rows = [
            (s.column, s.value, s.num_examples, str(s.score), f"{s.difference:+.3f}")
            for s in self.slices
        ]
        metric = self.metric.replace("_", " ")
        table = Table(
            ("column", "value", "examples", metric, "from the rest"),
            rows,
            title=f"Slices of {self.split}: {metric} {self.overall} overall",
        )
        small = f"{self.left_out} slice(s) with fewer than {self.least} examples were left out."
        return [table, self.sentence, *([small] if self.left_out else [])]
