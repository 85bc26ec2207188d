"""Export: a file made for somewhere else, and the proof that it gives the same answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from tftune.display import Displayed, Table
from tftune.errors import ModelFileError
from tftune.results.evaluation import Interval


@dataclass(frozen=True)
class HeadParity:
    """What was compared between an export and the Keras model for one head.

    Attributes:
        head: the head's name.
        task: its task.
        max_difference: the largest difference of any probability; for regression of any value, in
            the training targets' standard deviations.
        mean_difference: the mean absolute difference, in the same unit.
        agreement: share of equal answers: of most probable classes (multiclass), or of yes-or-no
            decisions at 0.5 (multilabel); None for regression.
        metric: what sums the head up: "accuracy", "macro_f1" or "rmse".
        before: the Keras model's main metrics on these examples, with their intervals.
        after: the export's.
        drop: how much worse the export is by `metric`, negative if it is better; for regression in
            the training targets' standard deviations.
    """

    head: str
    task: str
    max_difference: float
    mean_difference: float
    agreement: float | None
    metric: str
    before: Mapping[str, Interval]
    after: Mapping[str, Interval]
    drop: float


@dataclass(frozen=True)
class Certificate(Displayed):
    """What was compared between an export and the Keras model, on the same held-out examples.

    Attributes:
        runtime: what ran the export, with its version.
        num_examples: how many examples both were given, from their original files.
        heads: the comparison of each head.
        repeat_difference: the largest difference between two runs of the export itself.
        tolerance: the largest `max_difference` allowed; None where arithmetic is 8-bit and only the
            loss of accuracy is bounded.
        max_drop: the largest `drop` allowed any head.
        problems: why the export is not within its budget; empty if it is.
        overridden: whether it was written in spite of these problems.
        latency_ms: median milliseconds an example in the runtime, on the machine of the check.
        size_bytes: the export's size.
        sha256: a digest of the export's files.
        calibration: how many images set the ranges of 8 bits or corrected layers, of which split,
            and their digest.
        versions: of the packages that took part.
        notes: what else the reader should know, such as what was kept in floating point.
    """

    runtime: str
    num_examples: int
    heads: tuple[HeadParity, ...]
    repeat_difference: float
    tolerance: float | None
    max_drop: float
    problems: tuple[str, ...]
    overridden: bool
    latency_ms: float
    size_bytes: int
    sha256: str
    calibration: Mapping[str, Any] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the export stayed within its budget."""
        return not self.problems

    @property
    def max_difference(self) -> float:
        """The largest difference of any head's answers."""
        return max(head.max_difference for head in self.heads)

    @property
    def drop(self) -> float:
        """How much the head that lost most has lost; negative if all gained."""
        return max(head.drop for head in self.heads)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        overall = {"passed": self.passed, "max_difference": self.max_difference, "drop": self.drop}
        return {**asdict(self), **overall}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Certificate:
        """Read what `to_json` wrote.

        Raises:
            ModelFileError: if it is no certificate of this version.
        """
        try:
            kept = {f.name: values[f.name] for f in fields(cls) if f.name in values}
            heads = []
            for head in values["heads"]:
                sides = {
                    side: {name: Interval(**one) for name, one in head[side].items()}
                    for side in ("before", "after")
                }
                heads.append(HeadParity(**{**head, **sides}))
            lists = {name: tuple(kept.get(name, ())) for name in ("problems", "notes")}
            return cls(**{**kept, **lists, "heads": tuple(heads)})
        except (KeyError, TypeError, AttributeError) as error:
            raise ModelFileError(f"This is no certificate of this version: {error!r}.") from error

    def sections(self) -> list[str | Table]:
        """Show what was compared."""
        allowed = "" if self.tolerance is None else f" (allowed {self.tolerance:.0e})"
        rows = [
            ("verdict", "passed" if self.passed else "; ".join(self.problems)),
            ("runtime", self.runtime),
            ("examples", str(self.num_examples)),
            ("between two runs", f"{self.repeat_difference:.1e}"),
            ("latency", f"{self.latency_ms:.1f} ms an example here"),
        ]
        if self.overridden:
            rows.insert(1, ("overridden", "written in spite of this, as asked"))
        for head in self.heads:
            prefix = f"{head.head}: " if len(self.heads) > 1 else ""
            found = [
                ("largest difference", f"{head.max_difference:.1e}{allowed}"),
                ("mean difference", f"{head.mean_difference:.1e}"),
            ]
            if head.agreement is not None:
                found.append(("same answer", f"{head.agreement:.1%}"))
            metric = head.metric.replace("_", " ")
            found.append((f"{metric} before", str(head.before[head.metric])))
            found.append((f"{metric} after", str(head.after[head.metric])))
            rows.extend((prefix + name, text) for name, text in found)
        return [Table(("parity certificate", ""), rows), *self.notes]


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
            the first head's score (accuracy, macro F1 or RMSE), drop and what became of it.
        notes: what the reader should know.
    """

    path: str
    size_bytes: int
    signatures: Mapping[str, str]
    certificate: Certificate | None = None
    quantize: str = "none"
    candidates: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        certificate = self.certificate.to_json() if self.certificate else None
        return {**asdict(self), "certificate": certificate}

    @property
    def _score(self) -> str:
        if self.certificate is None:
            return "score"
        return self.certificate.heads[0].metric.replace("_", " ")

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
                    "" if row["score"] is None else f"{row['score']:.3f}",
                    "" if row["drop"] is None else f"{row['drop']:+.3f}",
                    row["outcome"],
                )
                for row in self.candidates
            ]
            shown.append(Table(("form", "size", self._score, "drop", "outcome"), rows))
        if self.certificate is None:
            return [*shown, "Not verified: give `verify=` held-out data to get a certificate."]
        return [*shown, *self.certificate.sections()]
