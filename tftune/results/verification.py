"""Verification and RuntimeCost: an export looked at again, anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tftune.display import Displayed, Table
from tftune.results.evaluation import Evaluation
from tftune.results.export import Certificate


@dataclass(frozen=True, eq=False)
class Verification(Displayed):
    """What an export answers on labelled examples, and whether it is still the certified one.

    Attributes:
        path: the export.
        runtime: what ran it.
        evaluation: its own metrics on the examples.
        intact: whether its digest is that of its certificate; None if it has no certificate.
        certificate: the comparison with a Keras model, if one was given.
    """

    path: str
    runtime: str
    evaluation: Evaluation
    intact: bool | None
    certificate: Certificate | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the export."""
        return self.intact is not False and (self.certificate is None or self.certificate.passed)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {
            "path": self.path,
            "runtime": self.runtime,
            "passed": self.passed,
            "intact": self.intact,
            "evaluation": self.evaluation.to_json(),
            "certificate": self.certificate.to_json() if self.certificate else None,
        }

    def sections(self) -> list[str | Table]:
        """Show whether it is intact, what it answers, and how it compares."""
        told = {
            None: "It has no certificate beside it to compare its digest with.",
            True: "Its digest is the one in its certificate.",
            False: "Its digest is NOT the one in its certificate: the files were changed since.",
        }
        shown: list[str | Table] = [f"{self.path} in {self.runtime}", told[self.intact]]
        shown.extend(self.evaluation.sections())
        if self.certificate is not None:
            shown.extend(self.certificate.sections())
        return shown


@dataclass(frozen=True)
class RuntimeCost:
    """What one example costs in a runtime.

    Attributes:
        num_threads: threads it ran on.
        median_ms: median milliseconds an example.
        p95_ms: the 95th percentile.
        peak_memory_bytes: the largest resident size of a process that did nothing else.
    """

    num_threads: int
    median_ms: float
    p95_ms: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class RuntimeBenchmark(Displayed):
    """A .tflite file's size, latency and memory on this machine.

    Attributes:
        path: the file.
        size_bytes: its size.
        runtime: what ran it.
        costs: one a number of threads.
        repeats: timed runs behind each.
    """

    path: str
    size_bytes: int
    runtime: str
    costs: Sequence[RuntimeCost]
    repeats: int

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return asdict(self)

    def sections(self) -> list[str | Table]:
        """Show a row a number of threads."""
        rows = [
            (
                cost.num_threads,
                f"{cost.median_ms:.2f}",
                f"{cost.p95_ms:.2f}",
                f"{cost.peak_memory_bytes / 1e6:.0f}",
            )
            for cost in self.costs
        ]
        columns = ("threads", "median ms", "95th percentile ms", "peak memory MB")
        title = (
            f"{self.path}: {self.size_bytes / 1e6:.1f} MB, {self.repeats} runs in {self.runtime}"
        )
        return [Table(columns, rows, title=title)]
