"""A run's report is one page that holds its figures, escaped, and needs nothing else."""

import dataclasses
import html.parser
import json
import re
import shutil

import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

from tftune.atomic import write_json
from tftune.cli.main import app
from tftune.errors import ModelFileError
from tftune.evaluation.record import read_validation
from tftune.reports.run_report import write_report
from tftune.results.evaluation import Interval
from tftune.results.export import Certificate, HeadParity


class _Checker(html.parser.HTMLParser):
    VOID = {"meta", "br", "img", "link"}

    def __init__(self):
        super().__init__()
        self.open, self.links, self.ids = [], [], []

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        names = ("src", "href", "xlink:href", "data", "action", "srcset")
        self.links += [v for k, v in attributes if k in names and not v.startswith(("#", "data:"))]
        self.ids += [v for k, v in attributes if k == "id"]

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def text(run_folder, tmp_path_factory):
    target = tmp_path_factory.mktemp("pages") / "r.html"
    return write_report(run_folder, target).read_text(encoding="utf-8")


def test_the_page_is_whole_and_needs_no_network(text):
    checker = _Checker()
    checker.feed(text)
    assert checker.open == []
    assert checker.links == []
    assert len(checker.ids) == len(set(checker.ids))
    without_namespaces = re.sub(r'xmlns(:\w+)?="[^"]+"', "", text)
    assert not re.search(r"(https?:)?//\w+\.\w", re.sub(r"base64,[^\"]+", "", without_namespaces))
    assert "@import" not in text
    assert "url(" not in re.sub(r"url\(#", "", text)


def test_the_page_holds_the_runs_own_figures(run_folder, text):
    metrics = json.loads((run_folder / "metrics.json").read_text())
    accuracy = metrics["validation"]["fine_tuning"]["intervals"]["accuracy"]
    assert f"{accuracy['low']:.3f} to {accuracy['high']:.3f}" in text
    assert metrics["verdict"]["sentence"] in text
    assert metrics["data_fingerprint"] in text
    for title in ("Evaluation", "Confusions", "Calibration", "Data", "Plan", "How to reproduce"):
        assert f">{title}</h2>" in text
        assert re.search(rf'<a href="#[a-z-]+">{title}</a>', text)
    assert "flatter" in text  # validation chose the weights, and the page says so


def test_every_cell_of_the_confusion_matrix_leads_to_its_images(run_folder, text):
    metrics = json.loads((run_folder / "metrics.json").read_text())
    validation = read_validation(run_folder, metrics)
    cells = set(re.findall(r'<button type="button" data-cell="(\d-\d)"', text))
    filled = {f"{i}-{j}" for i, j in zip(*validation.confusion.nonzero(), strict=True)}
    assert cells == filled
    pictured = re.findall(r'<figure data-cell="(\d)-(\d)"', text)
    assert {f"{i}-{j}" for i, j in pictured} <= filled
    wrong = sum(i != j for i, j in pictured)
    assert wrong == (validation.predictions.predicted != validation.predictions.labels).sum()


def test_names_are_escaped_and_no_place_of_the_machine_is_told(text):
    assert "<b>tulip" not in text
    assert "&lt;b&gt;tulip&lt;/b&gt;" in text
    assert "/home/someone" not in text


def test_what_is_given_is_shown(run_folder, tmp_path):
    metrics = json.loads((run_folder / "metrics.json").read_text())
    test = dataclasses.replace(read_validation(run_folder, metrics), split="test")
    score = {"accuracy": Interval(0.8, 0.7, 0.9)}
    parity = HeadParity("label", "multiclass", 1.2e-5, 1e-6, 1.0, "accuracy", score, score, 0.0)
    certificate = Certificate(
        runtime="LiteRT 2.3",
        num_examples=160,
        heads=(parity,),
        repeat_difference=0.0,
        tolerance=1e-4,
        max_drop=0.02,
        problems=(),
        overridden=False,
        latency_ms=6.7,
        size_bytes=13_500_000,
        sha256="0" * 64,
    )
    write_json(tmp_path / "flowers.tflite.certificate.json", certificate.to_json())
    assert Certificate.from_json(json.loads(json.dumps(certificate.to_json()))) == certificate
    figure = Figure()
    figure.subplots().imshow([[0, 1]])
    page = write_report(
        run_folder,
        tmp_path / "r.html",
        test=test,
        explanations={"The most confident mistakes": figure},
        more={"Coverage": test.coverage()},
        exports=[tmp_path / "flowers.tflite"],
    ).read_text(encoding="utf-8")
    assert "on 160 test examples" in page
    assert "1.2e-05" in page
    assert 'alt="The most confident mistakes" src="data:image/png;base64' in page
    assert "Coverage</h2>" in page
    assert "flatter" not in page
    write_json(tmp_path / "old.tflite.certificate.json", {"runtime": "LiteRT"})
    with pytest.raises(ModelFileError, match="no certificate of this version"):
        write_report(run_folder, tmp_path / "r.html", exports=[tmp_path / "old.tflite"])
    with pytest.raises(ModelFileError, match="has no certificate"):
        write_report(run_folder, tmp_path / "r.html", exports=[tmp_path / "other.tflite"])


def test_many_classes_are_shown_as_pairs(run_folder, tmp_path):
    folder = shutil.copytree(run_folder, tmp_path / "many")
    metrics = json.loads((folder / "metrics.json").read_text())
    evaluation = metrics["validation"]["fine_tuning"]
    extra = [f"class {index}" for index in range(40)]
    evaluation["class_names"] += extra
    evaluation["confusion"] = [row + [0] * 40 for row in evaluation["confusion"]] + [[0] * 44] * 40
    write_json(folder / "metrics.json", metrics)
    text = write_report(folder).read_text(encoding="utf-8")
    assert "The most confused of 44 classes" in text
    assert text.count("<button") < 31


@pytest.mark.parametrize("missing", ["plan.json", "history.csv", "metrics.json"])
def test_an_incomplete_run_is_refused_in_a_sentence(run_folder, tmp_path, missing):
    folder = shutil.copytree(run_folder, tmp_path / "run")
    (folder / missing).unlink()
    done = CliRunner().invoke(app, ["report", str(folder)])
    assert isinstance(done.exception, SystemExit)
    assert done.exit_code == 2
    assert missing in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (folder / "report.html").exists()
    with pytest.raises(ModelFileError, match="There is no run"):
        write_report(tmp_path / "nothing")


def test_the_command_writes_the_page_and_the_card(run_folder, tmp_path):
    folder = shutil.copytree(run_folder, tmp_path / "run")
    done = CliRunner().invoke(app, ["report", str(folder)])
    assert done.exit_code == 0, done.stderr
    card = (folder / "model_card.md").read_text(encoding="utf-8")
    sections = ["Model details", "Intended use", "Factors", "Metrics", "Evaluation data"]
    sections += ["Training data", "Quantitative analyses", "Ethical considerations"]
    sections += ["Caveats and recommendations"]
    places = [card.index(f"## {section}") for section in sections]
    assert places == sorted(places)
    assert r"\<b\>tulip" in card
    assert "| accuracy | 0." in card
    assert "To do: who should use the model" in card
    assert (folder / "report.html").exists()
