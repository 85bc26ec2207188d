"""Export: a file made for somewhere else, and the proof that it gives the same answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tftune.display import Displayed, Table
from tftune.results.evaluation import Interval


@dataclass(frozen=True)
class Certificate(Displayed):
    """What was compared between an export and the Keras model, on the same held-out examples.

    Attributes:
        runtime: what ran the export, with its version.
        num_examples: how many examples both were given, from their original files.
        max_difference: the largest difference of any probability.
        mean_difference: the mean absolute difference of probabilities.
        label_agreement: share of examples with the same most probable class.
        repeat_difference: the largest difference between two runs of the export itself.
        accuracy_before: the Keras model's accuracy on these examples, with its interval.
        accuracy_after: the export's.
        macro_f1_before: the Keras model's macro F1.
        macro_f1_after: the export's.
        tolerance: the largest `max_difference` allowed; None where arithmetic is 8-bit and only the
            accuracy is bounded.
        max_drop: the largest loss of accuracy allowed, in [0, 1].
        problems: why the export is not within its budget; empty if it is.
        overridden: whether it was written in spite of these problems.
        latency_ms: median milliseconds an example in the runtime, on the machine of the check.
        size_bytes: the export's size.
        sha256: a digest of the export's files.
        calibration: for int8, how many images set the ranges, from which split, and their digest.
        versions: of the packages that took part.
    """

    runtime: str
    num_examples: int
    max_difference: float
    mean_difference: float
    label_agreement: float
    repeat_difference: float
    accuracy_before: Interval
    accuracy_after: Interval
    macro_f1_before: Interval
    macro_f1_after: Interval
    tolerance: float | None
    max_drop: float
    problems: tuple[str, ...]
    overridden: bool
    latency_ms: float
    size_bytes: int
    sha256: str
    calibration: Mapping[str, Any] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the export stayed within its budget."""
        return not self.problems

    @property
    def accuracy_drop(self) -> float:
        """How much accuracy the export lost; negative if it gained."""
        return self.accuracy_before.value - self.accuracy_after.value

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {**asdict(self), "passed": self.passed, "accuracy_drop": self.accuracy_drop}

    def sections(self) -> list[str | Table]:
        """Show what was compared."""
        allowed = "" if self.tolerance is None else f" (allowed {self.tolerance:.0e})"
        rows = [
            ("verdict", "passed" if self.passed else "; ".join(self.problems)),
            ("runtime", self.runtime),
            ("examples", str(self.num_examples)),
            ("largest difference", f"{self.max_difference:.1e}{allowed}"),
            ("mean difference", f"{self.mean_difference:.1e}"),
            ("between two runs", f"{self.repeat_difference:.1e}"),
            ("same answer", f"{self.label_agreement:.1%}"),
            ("accuracy before", str(self.accuracy_before)),
            ("accuracy after", str(self.accuracy_after)),
            ("macro F1", f"{self.macro_f1_before.value:.3f} to {self.macro_f1_after.value:.3f}"),
            ("latency", f"{self.latency_ms:.1f} ms an example here"),
        ]
        if self.overridden:
            rows.insert(1, ("overridden", "written in spite of this, as asked"))
        return [Table(("parity certificate", ""), rows)]


@dataclass(frozen=True)
class Export(Displayed):
    """A model written for a runtime.

    Attributes:
        path: the file or version folder.
        size_bytes: its size.
        signatures: for each signature, its inputs and outputs as readable text.
        certificate: the comparison with the Keras model; None when no `verify` data was given.
        quantize: for TFLite, the form that was written.
        candidates: for `quantize="auto"`, a row a form that was tried: form, size in bytes,
            accuracy, drop and what became of it.
        notes: what the reader should know.
    """

    path: str
    size_bytes: int
    signatures: Mapping[str, str]
    certificate: Certificate | None = None
    quantize: str = "none"
    candidates: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()

    def sections(self) -> list[str | Table]:
        """Show what was written and how it was proved."""
        shown: list[str | Table] = [f"{self.path} ({self.size_bytes / 1e6:.1f} MB)"]
        shown.append(Table(("signature", "inputs and outputs"), list(self.signatures.items())))
        shown.extend(self.notes)
        if self.candidates:
            rows = [
                (
                    row["quantize"],
                    f"{row['size_bytes'] / 1e6:.1f} MB" if row["size_bytes"] else "",
                    "" if row["accuracy"] is None else f"{row['accuracy']:.3f}",
                    "" if row["drop"] is None else f"{row['drop']:+.3f}",
                    row["outcome"],
                )
                for row in self.candidates
            ]
            shown.append(Table(("form", "size", "accuracy", "drop", "outcome"), rows))
        if self.certificate is None:
            return [*shown, "Not verified: give `verify=` held-out data to get a certificate."]
        return [*shown, *self.certificate.sections()]
