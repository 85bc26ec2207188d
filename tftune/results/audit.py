"""AuditReport: what is wrong with a dataset, finding by finding."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tftune.atomic import write_text
from tftune.display import Displayed, Table
from tftune.errors import check_choice

SEVERITIES = ("error", "warning", "note")
"""Worst first: "error" would spoil training or what is measured after it."""

KINDS = {
    "unreadable": "Remove or replace them; loading stops at the first.",
    "leakage": "Keep each picture in one split, or the test figures flatter the model.",
    "label_conflict": "Look at them and keep the right label; training cannot satisfy both.",
    "missing_class": "Add images of the class or leave it out.",
    "exact_duplicate": "Keep one copy of each.",
    "near_duplicate": "Keep one copy of each, or put all copies into one split.",
    "label_error": "Look at them, most doubtful first, and correct the labels that are wrong.",
    "class_imbalance": "Add images of the rare classes, or weigh classes in training.",
    "tiny_class": "Add images; figures on so few say little.",
    "constant_image": "Remove them: they show nothing.",
    "dark_image": "Look at them; little can be seen.",
    "outlier": "Look at them; they may not belong to any class.",
    "odd_size": "Look at them; they are far smaller or larger than the rest.",
    "odd_aspect_ratio": "Crop them, if resizing to the model's input would distort them.",
    "mixed_scripts": "Look at them; an encoder of one language does not read the others.",
    "exif_rotated": "Nothing to do in tftune; other programs may show them lying on their side.",
}
"""Every kind of finding, in the order they are shown, with what to do about it."""

_SHOWN_EXAMPLES = 2


@dataclass(frozen=True)
class Example:
    """Where an example is.

    Attributes:
        split: "train", "validation" or "test".
        index: its place in the split.
        path: its file, or what its source calls it, such as "image 7" of an array.
        class_name: what it is labelled as, or an empty string if it has no class.
    """

    split: str
    index: int
    path: str
    class_name: str

    @property
    def short_name(self) -> str:
        """The last two parts of the path."""
        return "/".join(Path(self.path).parts[-2:])


@dataclass(frozen=True)
class Issue:
    """One finding.

    Attributes:
        kind: one of `KINDS`.
        severity: "error" (would spoil training), "warning" or "note".
        message: one sentence on what was found.
        examples: the images it is about; none if it is about a whole class.
        drop: those of them that `Dataset.drop` takes out: of duplicates all but one copy.
    """

    kind: str
    severity: str
    message: str
    examples: tuple[Example, ...] = ()
    drop: tuple[Example, ...] = ()

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, KINDS)
        check_choice("severity", self.severity, SEVERITIES)

    @property
    def suggestion(self) -> str:
        """What to do about it."""
        return KINDS[self.kind]

    @property
    def paths(self) -> tuple[str, ...]:
        """The files it is about."""
        return tuple(example.path for example in self.examples)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {**asdict(self), "suggestion": self.suggestion}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Issue:
        """Read what `to_json` wrote."""
        examples, drop = (
            tuple(Example(**example) for example in values[key]) for key in ("examples", "drop")
        )
        return cls(values["kind"], values["severity"], values["message"], examples, drop)


@dataclass(frozen=True, eq=False)
class AuditReport(Displayed):
    """Everything an audit found.

    Attributes:
        source: a short name of the data.
        num_examples: how many examples were looked at.
        issues: the findings, worst kind first; within likely label errors, most doubtful first.
        notes: what the reader should know about how the audit was made.
        pictures: thumbnails of what was found in data that is no files, as JPEG, by the example's
            path; those of files are read when a page is written. They are not in the JSON.
        things: what the examples are: "images" or "texts".
    """

    source: str
    num_examples: int
    issues: tuple[Issue, ...]
    notes: tuple[str, ...] = field(default=())
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    things: str = "images"

    @property
    def spoils_training(self) -> bool:
        """Tell whether anything found is an error."""
        return any(issue.severity == "error" for issue in self.issues)

    def of_kind(self, *kinds: str) -> tuple[Issue, ...]:
        """Return the issues of some kinds, such as "leakage" or "label_error"."""
        for kind in kinds:
            check_choice("kind", kind, KINDS)
        return tuple(issue for issue in self.issues if issue.kind in kinds)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {
            "source": self.source,
            "num_examples": self.num_examples,
            "spoils_training": self.spoils_training,
            "issues": [issue.to_json() for issue in self.issues],
            "notes": list(self.notes),
            "things": self.things,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> AuditReport:
        """Read what `to_json` wrote."""
        issues = tuple(Issue.from_json(issue) for issue in values["issues"])
        things = values.get("things", "images")
        return cls(
            values["source"], values["num_examples"], issues, tuple(values["notes"]), things=things
        )

    def sections(self) -> list[str | Table]:
        """Show how many findings of each kind there are, and what to do about them."""
        title = f"{self.source or 'Dataset'}: {self.num_examples} {self.things} audited"
        if not self.issues:
            return [title, "Nothing found.", *self.notes]
        rows, advice = [], []
        for kind in KINDS:
            issues = self.of_kind(kind)
            if issues:
                severity = min((i.severity for i in issues), key=SEVERITIES.index)
                rows.append((severity, as_words(kind), len(issues), _count(issues), _shown(issues)))
                advice.append(f"{as_words(kind).capitalize()}: {KINDS[kind]}")
        table = Table(("severity", "kind", "findings", self.things, "examples"), rows, title=title)
        return [table, *advice, *self.notes, self.verdict]

    @property
    def verdict(self) -> str:
        """One sentence on whether to train on the data."""
        if self.spoils_training:
            return "Not fit to train on as it is: resolve the errors first."
        return "Nothing found that would spoil training."

    def _repr_html_(self) -> str:
        from tftune.results.audit_html import report_as_html

        return report_as_html(self)

    def to_html(self, path: str | os.PathLike[str]) -> None:
        """Write one HTML file with thumbnails of what was found; it needs no other file.

        Args:
            path: the file; it is replaced if it exists.
        """
        from tftune.results.audit_html import report_as_page

        write_text(path, report_as_page(self))


def distinct(groups: Iterable[Iterable[Example]]) -> tuple[Example, ...]:
    """Return every example once, in the order they first appear."""
    return tuple(dict.fromkeys(example for group in groups for example in group))


def as_words(kind: str) -> str:
    """Write a kind for a reader: "near_duplicate" as "near duplicate"."""
    return kind.replace("_", " ")


def _count(issues: tuple[Issue, ...]) -> int | str:
    """Count images; a file that was left out on loading is no example but counts."""
    left_out = sum(issue.kind == "unreadable" and not issue.examples for issue in issues)
    return len(distinct(issue.examples for issue in issues)) + left_out or ""


def _shown(issues: tuple[Issue, ...]) -> str:
    examples = distinct(issue.examples for issue in issues)
    if not examples:
        return issues[0].message
    more = len(examples) - _SHOWN_EXAMPLES
    names = ", ".join(example.short_name for example in examples[:_SHOWN_EXAMPLES])
    return f"{names} and {more} more" if more > 0 else names
