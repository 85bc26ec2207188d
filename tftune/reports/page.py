"""The frame of a report: one HTML file that needs no network and reads well on paper and phones."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Sequence
from typing import Any

from tftune.display import Table
from tftune.reports.style import SCRIPT, STYLE


def page(title: str, parts: Sequence[str]) -> str:
    """Put sections into one self-contained HTML page.

    Args:
        title: shown in the window and as the heading; escaped here.
        parts: HTML fragments, in order; already escaped. Headings among them are listed at the top.
    """
    safe = html.escape(title)
    body = "\n".join(parts)
    links = "".join(
        f'<a href="#{place}">{text}</a>'
        for place, text in re.findall(r'<h2 id="([^"]+)">(.*?)</h2>', body)
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{safe}</title><style>{STYLE}</style></head>\n"
        f"<body><h1>{safe}</h1>\n<nav>{links}</nav>\n{body}\n"
        f"<script>{SCRIPT}</script></body></html>\n"
    )


def heading(text: str) -> str:
    """Return a section's heading, which the page's list of contents leads to."""
    place = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return f'<h2 id="{place}">{html.escape(text)}</h2>'


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph; `kind` is a class of the style sheet."""
    return f'<p class="{kind}">{html.escape(text)}</p>' if kind else f"<p>{html.escape(text)}</p>"


def escaped(text: str) -> str:
    """Return text that is safe inside an element."""
    return html.escape(text)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = "") -> str:
    """Return a table whose columns sort on a click; numbers are aligned right."""
    right = [Table(columns, rows).right_aligned(index) for index in range(len(columns))]
    kind = [' class="number"' if number else "" for number in right]
    head = "".join(
        f'<th{of} scope="col">{html.escape(column)}</th>'
        for of, column in zip(kind, columns, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{of}>{html.escape(str(cell))}</td>" for of, cell in zip(kind, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    shown = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll"><table class="sortable">{shown}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def shown(value: Any) -> list[str]:
    """Return what a `Displayed` value says of itself, as fragments.

    Args:
        value: anything with `sections()`.
    """
    parts = []
    for section in value.sections():
        if isinstance(section, str):
            parts.append(paragraph(section))
        else:
            parts.append(table(section.columns, section.rows, section.title))
    return parts


def picture(figure: Any, description: str) -> str:
    """Return a matplotlib Figure as inline SVG.

    Args:
        figure: what to draw.
        description: read out to those who cannot see it.
    """
    import matplotlib

    buffer = io.StringIO()
    # Identifiers that do not change with every page, and letters as text, which is smaller.
    with matplotlib.rc_context({"svg.hashsalt": description, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    drawn = buffer.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", drawn[drawn.index("<svg") :], flags=re.DOTALL)
    # Several drawings on one page must not share identifiers.
    prefix = re.sub(r"\W+", "-", description.lower())
    svg = re.sub(r'(id="|url\(#|href="#)', rf"\1{prefix}-", svg)
    label = html.escape(description, quote=True)
    return f'<figure class="drawing" role="img" aria-label="{label}">{svg}</figure>'


def photograph(figure: Any, description: str) -> str:
    """Return a matplotlib Figure that holds images as an inline picture.

    Args:
        figure: what to draw.
        description: read out to those who cannot see it.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    source = base64.b64encode(buffer.getvalue()).decode("ascii")
    label = html.escape(description, quote=True)
    return f'<figure><img alt="{label}" src="data:image/png;base64,{source}"></figure>'
