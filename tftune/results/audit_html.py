"""An AuditReport as HTML with thumbnails inside."""

from __future__ import annotations

import base64
import html
import io
import warnings

from PIL import Image, ImageOps

from tftune.display import as_html
from tftune.results.audit import KINDS, AuditReport, Example, Issue, as_words

_SIDE = 96  # pixels of a thumbnail's longer side
_FINDINGS_SHOWN = 24  # of each kind; a page must open quickly
_EXAMPLES_SHOWN = 8  # of one finding

_STYLE = (
    ".tftune-audit figure{display:inline-block;margin:4px;width:110px;vertical-align:top}"
    ".tftune-audit figcaption{font-size:11px;overflow-wrap:anywhere}"
    ".tftune-audit .finding{display:inline-block;border:1px solid #ccc;border-radius:4px;"
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
        parts.append(f"<h4>{html.escape(as_words(kind).capitalize())}</h4>")
        parts.extend(_finding(issue) for issue in issues[:_FINDINGS_SHOWN])
        if len(issues) > _FINDINGS_SHOWN:
            parts.append(f"<p>and {len(issues) - _FINDINGS_SHOWN} more</p>")
    return f'<div class="tftune-audit">{"".join(parts)}</div>'


def report_as_page(report: AuditReport) -> str:
    """Render a report as a whole HTML page that refers to nothing outside itself."""
    title = html.escape(f"Audit of {report.source or 'a dataset'}")
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        "<style>body{font-family:system-ui,sans-serif;margin:2em}</style></head>"
        f"<body><h1>{title}</h1>{report_as_html(report)}</body></html>\n"
    )


def _finding(issue: Issue) -> str:
    figures = "".join(_figure(example) for example in issue.examples[:_EXAMPLES_SHOWN])
    more = len(issue.examples) - _EXAMPLES_SHOWN
    rest = f"<p>and {more} more</p>" if more > 0 else ""
    return f'<div class="finding"><p>{html.escape(issue.message)}</p>{figures}{rest}</div>'


def _figure(example: Example) -> str:
    caption = html.escape(f"{example.short_name} ({example.split})")
    path = html.escape(example.path, quote=True)
    below = f"<figcaption>{caption}</figcaption>"
    return f'<figure title="{path}">{_thumbnail(example.path)}{below}</figure>'


def _thumbnail(path: str) -> str:
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore")
            if image.width * image.height > (Image.MAX_IMAGE_PIXELS or float("inf")):
                raise ValueError("too large")
            image.draft("RGB", (_SIDE, _SIDE))
            small = ImageOps.exif_transpose(image).convert("RGBA")
            small.thumbnail((_SIDE, _SIDE))
            paper = Image.new("RGBA", small.size, "white")
            paper.alpha_composite(small)
            encoded = io.BytesIO()
            paper.convert("RGB").save(encoded, "JPEG", quality=80)
    except Exception:  # a damaged file may raise anything; a report must show nevertheless
        return '<div class="unreadable">no picture</div>'
    data = base64.b64encode(encoded.getvalue()).decode()
    return f'<img alt="" src="data:image/jpeg;base64,{data}">'
