"""Diagnosis: what will go wrong with a file or an installation, and how to mend it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tftune.display import Displayed, Table


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        severity: "error": it refuses, crashes or answers wrongly; "warning": it runs, but perhaps
            not as meant; "note": something that some may miss.
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
    """What was checked in a .tflite file or an installation, and what was found.

    Attributes:
        path: the file, or the name of what is installed.
        kind: what it was taken for: "image classifier", "text classifier" or "unknown";
            "installation".
        summary: what it holds as readable text, by what it is.
        findings: what is wrong; empty if nothing is.
        praise: what is said where nothing is wrong.
    """

    path: str
    kind: str
    summary: dict[str, str]
    findings: tuple[Finding, ...]
    praise: str = "MediaPipe Tasks and LiteRT can load and run it."

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
        if all(finding.severity == "note" for finding in self.findings):
            shown.append(f"No problem found: {self.praise}")
        return shown
