"""TrainingRun: what a training did, on what, for how long, and whether it helped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tftune.config import Plan
from tftune.display import Displayed, Table
from tftune.results.evaluation import Evaluation
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

    def sections(self) -> list[str | Table]:
        """Show every epoch, then the verdict."""
        columns = ("phase", "epoch", "loss", "accuracy", "val loss", "val accuracy", "seconds")
        rows = [
            (
                row.phase,
                row.epoch,
                f"{row.loss:.4f}",
                f"{row.accuracy:.3f}",
                f"{row.val_loss:.4f}",
                f"{row.val_accuracy:.3f}",
                f"{row.seconds:.2f}",
            )
            for row in self.history.itertuples()
        ]
        spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.timings.items())
        return [
            Table(columns, rows, title="Training"),
            f"Time: {spent}.",
            *self.notes,
            *self.verdict.sections(),
        ]

    def plot(self) -> Any:
        """Draw loss and accuracy over epochs, phases side by side.

        Returns:
            A matplotlib Figure.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 3.6), layout="constrained")
        panels = figure.subplots(1, 2)
        steps = range(1, len(self.history) + 1)
        for axes, name, unit in zip(panels, ("loss", "accuracy"), (" (nats)", ""), strict=True):
            axes.plot(steps, self.history[name], "o-", ms=3, label="train")
            axes.plot(steps, self.history[f"val_{name}"], "s--", ms=3, label="validation")
            changes = (
                self.history["phase"].ne(self.history["phase"].shift()).to_numpy().nonzero()[0]
            )
            for start in changes[1:]:
                axes.axvline(start + 0.5, color="0.6", lw=1)
            axes.set(xlabel="epoch, over all phases", ylabel=name + unit)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.legend(frameon=False)
        figure.suptitle(" then ".join(self.history["phase"].unique()))
        return figure
