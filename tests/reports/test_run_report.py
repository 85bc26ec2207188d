"""A run's report is one page that holds its figures, escaped, and needs nothing else."""

import html.parser
import json
import re

import pytest

import tftune
from tftune.errors import ModelFileError
from tftune.reports.run_report import write_report


@pytest.fixture(scope="module")
def run_folder(stripes, tmp_path_factory):
    model = tftune.build_image_classifier(
        "efficientnet_lite0", stripes, image_size=(32, 32), weights=None
    )
    phase = tftune.Phase("feature_extraction", "none", epochs=2, learning_rate=1e-2)
    folder = tmp_path_factory.mktemp("runs") / "stripes"
    tftune.fine_tune(model, stripes, tftune.Plan((phase,)), output=folder, verbose=False)
    return folder


class _Checker(html.parser.HTMLParser):
    VOID = {"meta", "br", "img", "link"}

    def __init__(self):
        super().__init__()
        self.open, self.links = [], []

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        self.links += [v for k, v in attributes if k in ("src", "href") and not v.startswith("#")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_no_network(run_folder, tmp_path):
    text = write_report(run_folder, tmp_path / "r.html").read_text(encoding="utf-8")
    checker = _Checker()
    checker.feed(text)
    assert checker.open == []
    assert checker.links == []
    assert text.count("<svg") == 1


def test_the_page_holds_the_runs_own_figures(run_folder, tmp_path):
    text = write_report(run_folder, tmp_path / "r.html").read_text(encoding="utf-8")
    metrics = json.loads((run_folder / "metrics.json").read_text())
    interval = metrics["validation"]["feature_extraction"]["intervals"]["accuracy"]
    assert f"<td>{interval['value']:.3f}</td>" in text
    assert metrics["data_fingerprint"] in text
    assert re.search(r"<th>diagonal</th>", text)


def test_names_are_escaped(run_folder, tmp_path):
    metrics = json.loads((run_folder / "metrics.json").read_text())
    evaluation = metrics["validation"]["feature_extraction"]
    evaluation["class_names"][0] = "<script>alert(1)</script>"
    for name in ("plan.json", "history.csv", "environment.json"):
        (tmp_path / name).write_text((run_folder / name).read_text())
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


@pytest.mark.parametrize("missing", ["plan.json", "history.csv", "metrics.json"])
def test_an_incomplete_run_is_refused(run_folder, tmp_path, missing):
    for name in ("plan.json", "history.csv", "environment.json", "metrics.json"):
        if name != missing:
            (tmp_path / name).write_text((run_folder / name).read_text())
    with pytest.raises(ModelFileError):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()
