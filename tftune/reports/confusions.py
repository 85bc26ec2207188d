"""The confusion matrix of a report, whose cells filter the images below it."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping

import numpy as np

from tftune.reports import page
from tftune.results.evaluation import Evaluation

_MOST_CLASSES = 30
_MOST_PAIRS = 30


def confusion_parts(evaluation: Evaluation, thumbnails: Mapping[int, bytes]) -> list[str]:
    """Return the matrix (for many classes, the most confused pairs) and the images behind it.

    Args:
        evaluation: of a multiclass head.
        thumbnails: JPEG files by row of its predictions; the caption says how many are shown.
    """
    if not evaluation.confusion.size:
        return []
    few = len(evaluation.class_names) <= _MOST_CLASSES
    parts = [page.heading("Confusions"), _matrix(evaluation) if few else _pairs(evaluation)]
    if evaluation.predictions is not None and thumbnails:
        parts.append(_gallery(evaluation, thumbnails))
    return parts


def _button(evaluation: Evaluation, true: int, predicted: int) -> str:
    count = int(evaluation.confusion[true, predicted])
    if not count:
        return ""
    names = evaluation.class_names
    if true == predicted:
        told = f"{count} of {names[true]} answered rightly"
    else:
        told = f"{count} of {names[true]} taken for {names[predicted]}"
    label = html.escape(told, quote=True)
    return (
        f'<button type="button" data-cell="{true}-{predicted}" data-label="{label}" '
        f'title="{label}" aria-pressed="false">{count}</button>'
    )


def _matrix(evaluation: Evaluation) -> str:
    names = [html.escape(name) for name in evaluation.class_names]
    head = "".join(f'<th scope="col"><span>{name}</span></th>' for name in names)
    totals = np.maximum(evaluation.confusion.sum(axis=1), 1)
    rows = []
    for true, name in enumerate(names):
        cells = []
        for predicted in range(len(names)):
            count = evaluation.confusion[true, predicted]
            colour = "--accent" if true == predicted else "--wrong"
            # Any mistake at all must be seen, so that a share of 1 in 100 still has a tint.
            share = 0 if not count else round(12 + 58 * count / totals[true])
            style = f"background:color-mix(in srgb, var({colour}) {share}%, transparent)"
            cells.append(f'<td style="{style}">{_button(evaluation, true, predicted)}</td>')
        rows.append(f'<tr><th scope="row">{name}</th>{"".join(cells)}</tr>')
    caption = f"Rows are true classes, columns predicted ones, on {html.escape(evaluation.split)}. "
    caption += "Click a cell to see its images."
    return (
        f'<div class="scroll"><table class="matrix"><caption>{caption}</caption>'
        f"<thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _pairs(evaluation: Evaluation) -> str:
    wrong = evaluation.confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_PAIRS]
    rows = []
    for true, predicted in zip(*np.unravel_index(order, wrong.shape), strict=True):
        if wrong[true, predicted]:
            names = (evaluation.class_names[true], evaluation.class_names[predicted])
            cells = "".join(f"<td>{html.escape(name)}</td>" for name in names)
            button = _button(evaluation, int(true), int(predicted))
            rows.append(f"<tr>{cells}<td>{button}</td></tr>")
    caption = f"The most confused of {len(wrong)} classes. Click a number to see its images."
    return (
        f'<div class="scroll"><table class="matrix"><caption>{caption}</caption><thead><tr>'
        "<th>true class</th><th>taken for</th><th>images</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _gallery(evaluation: Evaluation, thumbnails: Mapping[int, bytes]) -> str:
    answers = evaluation.predictions
    assert answers is not None
    figures = []
    for row, content in thumbnails.items():
        true, predicted = int(answers.labels[row]), int(answers.predicted[row])
        names = [html.escape(evaluation.class_names[index]) for index in (true, predicted)]
        wrong = true != predicted
        told = f"{names[1]} {answers.confidence[row]:.2f}"
        beside = f"<br>is {names[0]}" if wrong else ""
        source = base64.b64encode(content).decode("ascii")
        name = html.escape(answers.names[row], quote=True)
        figures.append(
            f'<figure data-cell="{true}-{predicted}" title="{name}">'
            f'<img loading="lazy" alt="{name}" src="data:image/jpeg;base64,{source}">'
            f"<figcaption{' class=wrong' if wrong else ''}>{told}{beside}</figcaption></figure>"
        )
    wrong_kept = sum(int(answers.labels[r]) != int(answers.predicted[r]) for r in thumbnails)
    wrong_all = int((answers.labels != answers.predicted).sum())
    everything = html.escape(
        f"{wrong_kept} of {wrong_all} mistakes, the most confident first, and "
        f"{len(thumbnails) - wrong_kept} right answers, the least confident first.",
        quote=True,
    )
    return (
        f'<p class="soft" id="filtered" aria-live="polite" data-all="{everything}">{everything}</p>'
        f'<div class="gallery">{"".join(figures)}</div>'
    )
