"""Diagnosis: what a phone will stumble over in a .tflite file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tftune.display import Displayed, Table


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a file.

    Attributes:
        severity: "error": the runtime refuses, crashes or answers wrongly; "warning": it runs, but
            perhaps not as meant.
        rule: a short name of the rule.
        problem: what was found and what happens.
        remedy: how to mend it.
    """

    severity: str
    rule: str
    problem: str
    remedy: str


@dataclass(frozen=True)
class Diagnosis(Displayed):
    """What was checked in a .tflite file, and what was found.

    Attributes:
        path: the file.
        kind: what it was taken for: "image classifier", "text classifier" or "unknown".
        summary: its inputs, outputs and operators as readable text, by what they are.
        findings: what is wrong; empty if nothing is.
    """

    path: str
    kind: str
    summary: dict[str, str]
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether no finding is an error."""
        return all(finding.severity != "error" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {**asdict(self), "healthy": self.healthy}

    def sections(self) -> list[str | Table]:
        """Show what the file is, then each finding with its remedy."""
        shown: list[str | Table] = [
            Table(("", ""), list(self.summary.items()), title=f"{self.path}: {self.kind}")
        ]
        for finding in self.findings:
            shown.append(f"{finding.severity}: {finding.problem} {finding.remedy}")
        if not self.findings:
            shown.append("No problem found: MediaPipe Tasks and LiteRT can load and run it.")
        return shown
