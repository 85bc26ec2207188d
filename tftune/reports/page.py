"""The frame of a report: one HTML file that needs no network and reads well on paper and phones."""

from __future__ import annotations

import html
import io
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --soft: #59636e; --line: #d1d9e0;
  --accent: #0072b2; --accent-ink: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --soft: #9198a1;
  --line: #30363d; --accent: #56b4e9; --accent-ink: #0d1117; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem 4rem; color: var(--ink);
  background: var(--paper); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .2rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
.lead { font-size: 1.1rem; } .soft { color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .4rem 0; }
caption { text-align: left; color: var(--soft); padding: .2rem 0; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: left; }
th { white-space: nowrap; } th[aria-sort] { cursor: pointer; }
th[aria-sort=ascending]::after { content: " \\2191"; }
th[aria-sort=descending]::after { content: " \\2193"; }
td.confusion { text-align: center; min-width: 2.2rem; }
figure { margin: .6rem 0; background: #fff; padding: .5rem; border-radius: .4rem; }
figure svg { max-width: 100%; height: auto; display: block; }
pre { overflow-x: auto; padding: .8rem; border: 1px solid var(--line); border-radius: .4rem; }
@media print { body { max-width: none; padding: 0; font-size: 11pt; } h2 { break-after: avoid; }
  table, figure { break-inside: avoid; } }
"""

# Sorting is a convenience: without scripts the tables stand as they were written.
_SCRIPT = """
for (const table of document.querySelectorAll("table.sortable"))
  for (const head of table.tHead.rows[0].cells) {
    head.setAttribute("aria-sort", "none");
    head.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows];
      const key = (row) => row.cells[head.cellIndex].textContent.trim();
      rows.sort((a, b) => key(a).localeCompare(key(b), undefined, {numeric: true}));
      table.tBodies[0].append(...(up ? rows : rows.reverse()));
    });
  }
"""


def page(title: str, parts: list[str]) -> str:
    """Put sections into one self-contained HTML page.

    Args:
        title: shown in the window and as the heading; escaped here.
        parts: HTML fragments, in order; already escaped.
    """
    safe = html.escape(title)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{safe}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{safe}</h1>\n"
        + "\n".join(parts)
        + f"\n<script>{_SCRIPT}</script></body></html>\n"
    )


def heading(text: str) -> str:
    """Return a section's heading."""
    return f"<h2>{html.escape(text)}</h2>"


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph; `kind` is a class of the style sheet."""
    return f'<p class="{kind}">{html.escape(text)}</p>' if kind else f"<p>{html.escape(text)}</p>"


def table(columns: list[str], rows: list[list[Any]], caption: str = "") -> str:
    """Return a table whose columns sort on a click."""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    shown = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll"><table class="sortable">{shown}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def confusion(matrix: list[list[int]], class_names: list[str]) -> str:
    """Return a confusion matrix, each row shaded by its share of that true class."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in class_names)
    rows = []
    for name, counts in zip(class_names, matrix, strict=True):
        total = max(sum(counts), 1)
        cells = "".join(
            f'<td class="confusion" style="background:color-mix(in srgb, var(--accent) '
            f'{round(85 * count / total)}%, transparent)">{count or ""}</td>'
            for count in counts
        )
        rows.append(f"<tr><th>{html.escape(name)}</th>{cells}</tr>")
    return (
        '<div class="scroll"><table><caption>Rows are true classes, columns predicted ones; '
        "shading is the share of the row.</caption>"
        f"<thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def picture(figure: Any, description: str) -> str:
    """Return a matplotlib Figure as inline SVG.

    Args:
        figure: what to draw.
        description: read out to those who cannot see it.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    drawn = buffer.getvalue()
    svg = drawn[drawn.index("<svg") :]
    label = html.escape(description, quote=True)
    return f'<figure role="img" aria-label="{label}">{svg}</figure>'
