"""Export: a file made for somewhere else, and the proof that it gives the same answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tftune.display import Displayed, Table


@dataclass(frozen=True)
class Certificate(Displayed):
    """What was compared between an export and the Keras model.

    Attributes:
        runtime: what ran the export, with its version.
        num_examples: how many held-out examples both were given.
        max_difference: the largest difference of any probability.
        mean_difference: the mean absolute difference of probabilities.
        label_agreement: share of examples with the same most probable class.
        accuracy_before: the Keras model's accuracy on these examples.
        accuracy_after: the export's.
        tolerance: the largest `max_difference` that was allowed.
    """

    runtime: str
    num_examples: int
    max_difference: float
    mean_difference: float
    label_agreement: float
    accuracy_before: float
    accuracy_after: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the export stayed within the tolerance."""
        return self.max_difference <= self.tolerance

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {**asdict(self), "passed": self.passed}

    def sections(self) -> list[str | Table]:
        """Show what was compared."""
        rows = [
            ("runtime", self.runtime),
            ("examples", str(self.num_examples)),
            ("largest difference", f"{self.max_difference:.2e} (allowed {self.tolerance:.0e})"),
            ("mean difference", f"{self.mean_difference:.2e}"),
            ("same answer", f"{self.label_agreement:.1%}"),
            ("accuracy", f"{self.accuracy_before:.3f} before, {self.accuracy_after:.3f} after"),
        ]
        return [Table(("parity certificate", ""), rows)]


@dataclass(frozen=True)
class Export(Displayed):
    """A model written for a runtime.

    Attributes:
        path: the file or version folder.
        size_bytes: its size.
        signatures: for each signature, its inputs and outputs as readable text.
        certificate: the comparison with the Keras model; None when no `verify` data was given.
    """

    path: str
    size_bytes: int
    signatures: Mapping[str, str]
    certificate: Certificate | None = None

    def sections(self) -> list[str | Table]:
        """Show what was written and how it was proved."""
        rows = list(self.signatures.items())
        shown: list[str | Table] = [f"{self.path} ({self.size_bytes / 1e6:.1f} MB)"]
        if rows:
            shown.append(Table(("signature", "inputs and outputs"), rows))
        if self.certificate is None:
            return [*shown, "Not verified: give `verify=` held-out data to get a certificate."]
        return [*shown, *self.certificate.sections()]
