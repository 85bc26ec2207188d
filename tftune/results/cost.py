"""CostReport: what a model and its exports cost on this machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tftune.display import Displayed, Table


@dataclass(frozen=True)
class RunningCost:
    """What running one form of a model costs.

    Attributes:
        name: "Keras" or the export's file name.
        runtime: what ran it.
        size_bytes: of the file or folder.
        median_ms: median milliseconds for one image.
        p95_ms: the 95th percentile.
        images_per_second: with `batch_size` images a step, or one where the form takes no more.
        batch_size: images a step behind the throughput.
    """

    name: str
    runtime: str
    size_bytes: int
    median_ms: float
    p95_ms: float
    images_per_second: float
    batch_size: int


@dataclass(frozen=True, eq=False)
class CostReport(Displayed):
    """Parameters, operations, size, latency and throughput.

    Attributes:
        parameters: number of weights.
        flops: floating-point operations an image, a multiply-add counted as two; convolutions and
            dense layers only.
        forms: the Keras model first, then the exports.
        repeats: timed runs behind each latency.
        machine: what it ran on.
        training_seconds: how long training took; None where that is not known.
    """

    parameters: int
    flops: int
    forms: tuple[RunningCost, ...]
    repeats: int
    machine: str
    training_seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return asdict(self)

    def sections(self) -> list[str | Table]:
        """Show one row a form."""
        rows = [
            (
                form.name,
                form.runtime,
                f"{form.size_bytes / 1e6:.1f}",
                f"{form.median_ms:.1f}",
                f"{form.p95_ms:.1f}",
                f"{form.images_per_second:.1f} ({form.batch_size})",
            )
            for form in self.forms
        ]
        columns = ("form", "runtime", "MB", "median ms", "p95 ms", "images/s (batch)")
        spent = ""
        if self.training_seconds is not None:
            spent = f" Training took {self.training_seconds:.0f} s."
        return [
            f"{self.parameters:,} parameters, {self.flops / 1e6:,.0f} million floating-point "
            f"operations an image.{spent}",
            Table(columns, rows, title=f"{self.repeats} runs each on {self.machine}"),
        ]
