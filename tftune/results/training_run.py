"""TrainingRun: what a training did, on what, for how long, and whether it helped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tftune.config.plan import Plan
from tftune.display import Displayed, Table
from tftune.results.evaluation import Evaluation
from tftune.results.forgetting import Forgetting
from tftune.results.verdict import Verdict


@dataclass(frozen=True, eq=False)
class TrainingRun(Displayed):
    """The record of one `fine_tune`.

    Attributes:
        model: the trained TransferModel, with the best weights.
        plan: what was asked for.
        history: a row an epoch: phase, epoch, loss, accuracy, val_loss, val_accuracy,
            learning_rate (at the epoch's end) and seconds. A regression has error in place of
            accuracy. For several heads loss is the weighted sum, and each head has columns of its
            own: colour_loss, colour_accuracy, val_colour_loss, val_colour_accuracy.
        validation: one Evaluation on the validation split after each phase, by phase name.
        timings: seconds by step.
        data_fingerprint: digest of the data's contents and labels.
        verdict: did fine-tuning help, by how much, and is it certain; for each of several heads.
        folder: where the run was written, or an empty string.
        forgetting: how far fine-tuning moved the features; None where it did not, or where they
            were not cached.
        notes: what else the reader should know, one sentence each.
    """

    model: Any
    plan: Plan
    history: pd.DataFrame
    validation: Mapping[str, Evaluation]
    timings: Mapping[str, float]
    data_fingerprint: str
    verdict: Verdict
    folder: str = ""
    notes: tuple[str, ...] = ()
    forgetting: Forgetting | None = None

    def sections(self) -> list[str | Table]:
        """Show every epoch, then the verdict."""
        loss, *judged = self.figures
        # Several heads would not fit side by side.
        groups = [(loss, *judged)] if len(judged) <= 1 else [(loss,), *((name,) for name in judged)]
        spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.timings.items())
        return [
            *(
                self._table(group, "" if place else "Training")
                for place, group in enumerate(groups)
            ),
            f"Time: {spent}.",
            *self.notes,
            *(self.forgetting.sections() if self.forgetting else ()),
            *self.verdict.sections(),
        ]

    def _table(self, figures: Sequence[str], title: str) -> Table:
        measured = [*figures, *(f"val_{name}" for name in figures)]
        rows = [
            (
                row["phase"],
                row["epoch"],
                *(f"{row[name]:.4f}" for name in measured),
                f"{row['seconds']:.2f}",
            )
            for row in self.history.to_dict("records")
        ]
        columns = ("phase", "epoch", *(name.replace("_", " ") for name in measured), "seconds")
        return Table(columns, rows, title=title)

    @property
    def figures(self) -> tuple[str, ...]:
        """What was measured: "loss", and "accuracy" or "error", of several heads by name."""
        return _figures(self.history)

    def plot(self) -> Any:
        """Draw what was measured over epochs, phases side by side.

        Returns:
            A matplotlib Figure.
        """
        return plot_history(self.history)


def plot_history(history: pd.DataFrame) -> Any:
    """Draw a history's loss and accuracy over epochs, phases side by side.

    Args:
        history: as `TrainingRun.history`; what it does not hold is not drawn.

    Returns:
        A matplotlib Figure.
    """
    from matplotlib.figure import Figure

    pairs = [name for name in _figures(history) if f"val_{name}" in history]
    figure = Figure(figsize=(max(9, 3.4 * len(pairs)), 3.4), layout="constrained")
    panels = figure.subplots(1, len(pairs), squeeze=False)[0]
    loss = "loss (nats)" if "accuracy" in pairs else "loss"
    steps = range(1, len(history) + 1)
    starts = history["phase"].ne(history["phase"].shift()).to_numpy().nonzero()[0]
    for axes, name in zip(panels, pairs, strict=True):
        axes.plot(steps, history[name], "o-", ms=3, color="#0072b2", label="train")
        axes.plot(steps, history[f"val_{name}"], "s--", ms=3, color="#d55e00", label="validation")
        for start in starts[1:]:
            axes.axvline(start + 0.5, color="0.6", lw=1)
        axes.set(xlabel="epoch, over all phases", ylabel=loss if name == "loss" else name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False)
    figure.suptitle(" then ".join(history["phase"].unique()))
    return figure


def _figures(history: pd.DataFrame) -> tuple[str, ...]:
    judged = [name for name in history if name.endswith(("accuracy", "error"))]
    return ("loss", *(name for name in judged if not name.startswith("val_")))
