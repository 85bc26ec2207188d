"""An audit's report: text, JSON and HTML; and dropping what it lists."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tftune.data.dataset import Dataset, ImageFiles, Split
from tftune.errors import ConfigError, DataError
from tftune.results.audit import KINDS, AuditReport, Example, Issue


def _issue(kind, *examples, severity="warning"):
    return Issue(kind, severity, f"Found {kind}.", tuple(examples), tuple(examples[:1]))


def _dataset(sizes=(6, 3, 3)):
    splits = {}
    for name, size in zip(("train", "validation", "test"), sizes, strict=True):
        files = ImageFiles(tuple(f"{name}/{index}.png" for index in range(size)))
        splits[name] = Split.of_classes(name, files, [index % 2 for index in range(size)], "ab")
    return Dataset(**splits, source="data")


def _example(data, split, index):
    here = data.splits[split]
    return Example(split, index, here.examples.paths[index], here.class_names[here.labels[index]])


@pytest.fixture
def report(tmp_path):
    folder = tmp_path / "<script>alert(1)<"
    folder.mkdir()
    Image.new("RGB", (300, 200), "green").save(folder / "a&b.png")
    good = Example("train", 0, str(folder / "a&b.png"), "<script>")
    gone = Example("test", 1, str(tmp_path / "gone.png"), '"x"')
    issues = (_issue("leakage", good, gone, severity="error"), _issue("outlier", good))
    return AuditReport("<b>data</b>", 12, issues, ("A <i>note</i>.",))


def test_json_round_trips(report):
    values = json.loads(json.dumps(report.to_json()))
    back = AuditReport.from_json(values)
    assert back.issues == report.issues
    assert back.to_json() == report.to_json()
    assert values["spoils_training"] is True


def test_the_text_fits_a_terminal_and_names_kinds_advice_and_verdict(report):
    shown = str(report)
    assert max(map(len, shown.splitlines())) <= 80
    assert "leakage" in shown
    assert "Keep each picture in one split" in shown
    assert "Not fit to train on" in shown


def test_a_clean_report_says_so():
    report = AuditReport("data", 5, ())
    assert "Nothing found." in str(report)
    assert not report.spoils_training
    assert "Nothing found." in report._repr_html_()


def test_html_escapes_names_and_refers_to_nothing_outside(report, tmp_path):
    report.to_html(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<b>data" not in page
    assert "<i>note" not in page
    assert "&lt;script&gt;" in page
    sources = re.findall(r'(?:src|href)="([^"]{0,22})', page)
    assert sources
    assert all(source.startswith("data:image/jpeg;base64") for source in sources)
    assert "no picture" in page  # stands for the file that is gone


def test_every_kind_has_advice_and_unknown_kinds_are_refused():
    for kind, advice in KINDS.items():
        assert Issue(kind, "note", "m").suggestion == advice
    with pytest.raises(ConfigError, match="Did you mean 'leakage'"):
        AuditReport("", 0, ()).of_kind("lekage")


def test_drop_takes_out_what_the_issues_say_and_nothing_else():
    data = _dataset()
    first, second = _example(data, "train", 1), _example(data, "test", 0)
    kept = data.drop([_issue("outlier", first), _issue("near_duplicate", second, first)])
    assert [len(split) for split in kept.splits.values()] == [5, 3, 2]
    assert first.path not in kept.train.examples.paths
    assert second.path not in kept.test.examples.paths
    assert "2 example(s) dropped" in kept.notes[-1]
    assert len(data.train) == 6
    assert data.drop([]) is data


def test_drop_refuses_issues_of_other_data():
    data = _dataset()
    for stranger in (Example("train", 0, "else.png", "a"), Example("train", 99, "x", "a")):
        with pytest.raises(DataError, match="audit of this very dataset"):
            data.drop([_issue("outlier", stranger)])


def test_drop_refuses_to_leave_nothing_to_train_on():
    data = _dataset((2, 1, 1))
    issues = [_issue("outlier", _example(data, "train", index)) for index in range(2)]
    with pytest.raises(DataError, match="nothing to train on"):
        data.drop(issues)


@given(st.sets(st.tuples(st.sampled_from(["train", "validation", "test"]), st.integers(0, 2))))
def test_what_drop_keeps_is_the_rest_in_order(chosen):
    data = _dataset()
    kept = data.drop([_issue("outlier", _example(data, *place)) for place in sorted(chosen)])
    for name, split in data.splits.items():
        expected = [i for i in range(len(split)) if (name, i) not in chosen]
        assert kept.splits[name].examples.paths == tuple(split.examples.paths[i] for i in expected)
        np.testing.assert_array_equal(kept.splits[name].labels, split.labels[expected])
