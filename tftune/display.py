"""How a value shows itself: as text in a terminal, as HTML in a notebook."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

_UNBROKEN = 18


@dataclass(frozen=True)
class Table:
    """Rows to print. Numbers are aligned right, everything else left.

    Attributes:
        columns: the headings.
        rows: one sequence of cells a row, already in the type they should be aligned by.
        title: a line above the table, or an empty string.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    title: str = ""

    def right_aligned(self, column: int) -> bool:
        """Tell whether every filled cell of a column starts like a number."""
        cells = [str(row[column]) for row in self.rows if str(row[column])]
        return bool(cells) and all(cell[0].isdigit() or cell[0] in "+-." for cell in cells)


class Displayed:
    """Mixin: a class that says what to show gets `str()` and a notebook view from it."""

    def sections(self) -> list[str | Table]:
        """Return paragraphs and tables, in reading order."""
        raise NotImplementedError

    def __str__(self) -> str:
        return as_text(self.sections())

    def _repr_html_(self) -> str:
        return as_html(self.sections())


def show_size(size_bytes: float) -> str:
    """Write a size for people, such as "1.2 GB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def show_seconds(seconds: float) -> str:
    """Write a duration for people: "3 s", "2 min", "1 h 10 min"; never finer than is known."""
    if seconds < 1:
        return "under 1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def as_text(sections: Sequence[str | Table], width: int = 80) -> str:
    """Render paragraphs and tables as plain text.

    Args:
        sections: paragraphs and tables, in reading order.
        width: columns of the terminal, in characters.

    Returns:
        Text without colour codes or trailing spaces.
    """
    import rich.box
    import rich.console
    import rich.table
    import rich.text

    console = rich.console.Console(file=io.StringIO(), width=width, color_system=None)
    for section in sections:
        if isinstance(section, str):
            console.print(rich.text.Text(section))
            continue
        if section.title:
            console.print("\n", rich.text.Text(section.title), sep="")
        headed = any(section.columns)
        box = rich.box.SIMPLE_HEAD if headed else None
        table = rich.table.Table(
            box=box, pad_edge=False, show_header=headed, collapse_padding=True, padding=(0, 1)
        )
        for index, column in enumerate(section.columns):
            right = section.right_aligned(index)
            # Short cells stay whole, numbers above all, for a cut number is a wrong one; a narrow
            # terminal folds the long ones.
            longest = max([len(column), *(len(str(row[index])) for row in section.rows)])
            whole = longest <= _UNBROKEN
            table.add_column(
                column,
                justify="right" if right else "left",
                overflow="fold",
                no_wrap=whole,
                min_width=longest if whole else None,
            )
        for row in section.rows:
            table.add_row(*(rich.text.Text(str(cell)) for cell in row))
        console.print(table)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    text = "\n".join(line.rstrip() for line in lines).strip("\n")
    return re.sub(r"\n{3,}", "\n\n", text)


def as_html(sections: Sequence[str | Table]) -> str:
    """Render paragraphs and tables as an HTML fragment; everything is escaped."""
    parts = []
    for section in sections:
        if isinstance(section, str):
            parts.append(f"<p>{html.escape(section)}</p>")
            continue
        caption = f"<caption>{html.escape(section.title)}</caption>" if section.title else ""
        aligns = [
            "right" if section.right_aligned(i) else "left" for i in range(len(section.columns))
        ]
        head = "".join(
            f'<th style="text-align:{align}">{html.escape(column)}</th>'
            for align, column in zip(aligns, section.columns, strict=True)
        )
        body = "".join(
            "<tr>"
            + "".join(
                f'<td style="text-align:{align}">{html.escape(str(cell))}</td>'
                for align, cell in zip(aligns, row, strict=True)
            )
            + "</tr>"
            for row in section.rows
        )
        parts.append(f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
    return "".join(parts)
