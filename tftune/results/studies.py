"""What is learned before training: a rate range, a ranking of backbones, a cross-validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tftune.display import Displayed, Table
from tftune.results.evaluation import Interval


@dataclass(frozen=True, eq=False)
class RateSearch(Displayed):
    """The training loss under a learning rate that rose with every step.

    Attributes:
        rates: float, shape (num_steps,).
        losses: smoothed training loss at each, shape (num_steps,).
        suggestion: the rate at which the loss fell fastest.
    """

    rates: np.ndarray
    losses: np.ndarray
    suggestion: float

    def sections(self) -> list[str | Table]:
        """Show every few steps, then the suggestion."""
        every = max(1, len(self.rates) // 10)
        rows = [
            (f"{rate:.1e}", f"{loss:.4f}")
            for rate, loss in zip(self.rates[::every], self.losses[::every], strict=True)
        ]
        return [
            Table(("rate", "loss"), rows, title="Learning rate range"),
            f"The loss fell fastest at {self.suggestion:.1e}; take that as the peak rate.",
        ]

    def plot(self) -> Any:
        """Draw loss over rate.

        Returns:
            A matplotlib Figure.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5, 3.6), layout="constrained")
        axes = figure.subplots()
        axes.semilogx(self.rates, self.losses)
        axes.axvline(self.suggestion, color="0.6", lw=1)
        axes.set(xlabel="learning rate", ylabel="training loss (nats)")
        return figure


@dataclass(frozen=True)
class BackboneScore:
    """How well a linear head does on one backbone's frozen features.

    Attributes:
        preset: the backbone.
        accuracy: on the validation split, with a bootstrap interval.
        parameters: number of weights.
        seconds: for the features and the head; next to nothing when the cache had them.
    """

    preset: str
    accuracy: Interval
    parameters: int
    seconds: float


@dataclass(frozen=True, eq=False)
class BackboneRanking(Displayed):
    """Backbones by what a linear head on their frozen features reaches.

    Attributes:
        scores: the best first.
        num_examples: validation examples.
    """

    scores: tuple[BackboneScore, ...]
    num_examples: int

    @property
    def best(self) -> str:
        """The first one's preset."""
        return self.scores[0].preset

    def sections(self) -> list[str | Table]:
        """Show one row a backbone."""
        rows = [
            (s.preset, str(s.accuracy), f"{s.parameters:,}", f"{s.seconds:.1f}")
            for s in self.scores
        ]
        title = f"Backbones by a probe, on {self.num_examples} validation examples"
        return [Table(("backbone", "accuracy", "parameters", "seconds"), rows, title=title)]


@dataclass(frozen=True, eq=False)
class CrossValidation(Displayed):
    """A linear head judged on every example by a fold that did not hold it.

    Attributes:
        fold_accuracy: one a fold.
        accuracy: over all examples, with a bootstrap interval.
        probabilities: out-of-fold, float32, shape (num_examples, num_classes); the training
            examples first, then those of validation.
    """

    fold_accuracy: tuple[float, ...]
    accuracy: Interval
    probabilities: np.ndarray

    def sections(self) -> list[str | Table]:
        """Show one row a fold, then all."""
        rows = [(index, f"{value:.3f}") for index, value in enumerate(self.fold_accuracy, 1)]
        count = len(self.probabilities)
        return [
            Table(("fold", "accuracy"), rows, title="Cross-validation of the head"),
            f"Accuracy {self.accuracy} over {count} examples.",
        ]
