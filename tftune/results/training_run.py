"""TrainingRun: what a training did, on what, for how long, and whether it helped."""

from __future__ import annotations

from collections.abc import Mapping
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
            learning_rate (at the epoch's end) and seconds.
        validation: one Evaluation on the validation split after each phase, by phase name.
        timings: seconds by step.
        data_fingerprint: digest of the data's contents and labels.
        verdict: did fine-tuning help, by how much, and is it certain.
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
        shown = self.figures
        measured = [*shown, *(f"val_{name}" for name in shown)]
        columns = ("phase", "epoch", *(name.replace("_", " ") for name in measured), "seconds")
        rows = [
            (
                row["phase"],
                row["epoch"],
                *(f"{row[name]:.4f}" for name in measured),
                f"{row['seconds']:.2f}",
            )
            for row in self.history.to_dict("records")
        ]
        spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.timings.items())
        return [
            Table(columns, rows, title="Training"),
            f"Time: {spent}.",
            *self.notes,
            *(self.forgetting.sections() if self.forgetting else ()),
            *self.verdict.sections(),
        ]

    @property
    def figures(self) -> tuple[str, ...]:
        """What was measured in training: "loss", and "accuracy" or "error" by task."""
        beside = [name for name in ("accuracy", "error") if name in self.history]
        return ("loss", *beside)

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

    pairs = [name for name in ("loss", "accuracy", "error") if f"val_{name}" in history]
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    panels = figure.subplots(1, len(pairs), squeeze=False)[0]
    loss = "loss (nats)" if "accuracy" in history else "loss"
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
