"""Printed values fit a terminal and never cut a number."""

import pytest

from tftune.config.phase import Phase
from tftune.config.plan import Plan
from tftune.display import Table, as_html, as_text


def test_no_number_of_a_plan_is_cut():
    phases = (
        Phase("feature_extraction", "none", epochs=20, learning_rate=0.001),
        Phase("fine_tuning", 2, epochs=100, learning_rate=0.000325, batch_size=128),
    )
    shown = str(Plan(phases, stages=((), ("block6", "block7", "top"))))
    for cell in ("0.001", "0.000325", "100", "128", "feature_extraction", "batch"):
        assert cell in shown
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("width", [40, 80])
def test_long_cells_fold_within_the_width(width):
    table = Table(("name", "what"), [("a", "word " * 60), ("b", "x" * 200)])
    text = as_text([table], width=width)
    assert max(map(len, text.splitlines())) <= width
    assert text.count("word") == 60
    assert text.count("x") == 200


def test_html_is_escaped():
    fragment = as_html([Table(("<b>",), [("<script>",)], title="&"), "<i>"])
    assert "<script>" not in fragment
    assert "&lt;script&gt;" in fragment
