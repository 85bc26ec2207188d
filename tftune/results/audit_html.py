"""An AuditReport as HTML with thumbnails inside."""

from __future__ import annotations

import html
from collections.abc import Iterable

from tftune.display import as_html
from tftune.results.audit import KINDS, AuditReport, Example, Issue, as_words, distinct
from tftune.results.thumbnails import data_uri, thumbnail_of_file

_FINDINGS_SHOWN = 24  # of each kind; a page must open quickly
_EXAMPLES_SHOWN = 8  # of one finding

_STYLE = (
    ".tftune-audit figure{display:inline-block;margin:4px;width:110px;vertical-align:top}"
    ".tftune-audit figcaption{font-size:11px;overflow-wrap:anywhere}"
    ".tftune-audit .finding{display:inline-block;border:1px solid #8888;border-radius:4px;"
    "margin:4px;padding:4px;vertical-align:top;max-width:100%}"
    ".tftune-audit .finding p{margin:2px;max-width:340px;font-size:12px}"
    ".tftune-audit .unreadable{width:96px;height:64px;background:#ddd;color:#333;"
    "font-size:11px;display:flex;align-items:center;justify-content:center}"
    ".tftune-audit td,.tftune-audit th{padding:2px 8px}"
)


def report_as_html(report: AuditReport) -> str:
    """Render a report as an HTML fragment; all text is escaped and images are data URIs.

    Thumbnails are read from the files now, so a file changed since the audit shows as it is now.
    """
    parts = [f"<style>{_STYLE}</style>", as_html(report.sections())]
    for kind in KINDS:
        issues = report.of_kind(kind)
        if not issues:
            continue
        title = html.escape(as_words(kind).capitalize())
        parts.append(f"<h4>{title}</h4><p>{html.escape(KINDS[kind])}</p>")
        parts.extend(_finding(report, issue) for issue in issues[:_FINDINGS_SHOWN])
        if len(issues) > _FINDINGS_SHOWN:
            parts.append(f"<p>and {len(issues) - _FINDINGS_SHOWN} more</p>")
    return f'<div class="tftune-audit">{"".join(parts)}</div>'


def report_as_page(report: AuditReport) -> str:
    """Render a report as a whole HTML page that refers to nothing outside itself."""
    title = html.escape(f"Audit of {report.source or 'a dataset'}")
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<style>:root{color-scheme:light dark}"
        "body{font-family:system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em}"
        "</style></head>"
        f"<body><h1>{title}</h1>{report_as_html(report)}</body></html>\n"
    )


def shown_examples(issues: Iterable[Issue]) -> tuple[Example, ...]:
    """Return every example that a page of these issues shows."""
    by_kind: dict[str, list[Issue]] = {}
    for issue in issues:
        by_kind.setdefault(issue.kind, []).append(issue)
    return distinct(
        issue.examples[:_EXAMPLES_SHOWN]
        for found in by_kind.values()
        for issue in found[:_FINDINGS_SHOWN]
    )


def _finding(report: AuditReport, issue: Issue) -> str:
    figures = "".join(_figure(report, example) for example in issue.examples[:_EXAMPLES_SHOWN])
    more = len(issue.examples) - _EXAMPLES_SHOWN
    rest = f"<p>and {more} more</p>" if more > 0 else ""
    return f'<div class="finding"><p>{html.escape(issue.message)}</p>{figures}{rest}</div>'


def _figure(report: AuditReport, example: Example) -> str:
    caption = html.escape(f"{example.short_name} ({example.split})")
    path = html.escape(example.path, quote=True)
    below = f"<figcaption>{caption}</figcaption>"
    return f'<figure title="{path}">{_thumbnail(report, example)}{below}</figure>'


def _thumbnail(report: AuditReport, example: Example) -> str:
    picture = report.pictures.get(example.path) or thumbnail_of_file(example.path)
    if picture is None:
        return '<div class="unreadable">no picture</div>'
    return f'<img alt="" src="{data_uri(picture)}">'
