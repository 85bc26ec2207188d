"""Benchmarks are listed by name, and go on where they stopped."""

import hashlib
import importlib
import io
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def load(monkeypatch):
    """Import a module of the benchmarks, which are not installed with the package."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    return importlib.import_module


def test_every_benchmark_is_listed_with_what_it_measures(load):
    found = load("benchmarks.__main__").benchmarks()
    assert {"trunk_pass", "head_phase", "fine_tune_epoch", "defaults", "keras_guide"} <= set(found)
    assert "results" not in found and all(found.values())


def test_a_benchmark_goes_on_where_it_stopped(load, tmp_path, monkeypatch):
    results = load("benchmarks.results")
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    cases = [{"seed": 0}, {"seed": 1}]
    first = results.Results("some")
    first.add(cases[0], {"seconds": 2.0})
    again = results.Results("some")
    assert list(again.todo(cases)) == cases[1:]
    assert again.median("seconds") == 2.0
    assert list(results.Results("some", fresh=True).todo(cases)) == cases


def test_every_benchmark_takes_the_readers_own_data(load, monkeypatch, capsys):
    entry = load("benchmarks.__main__")
    for name in sorted(set(entry.benchmarks()) - {"fashion_mnist"}):  # it writes data as a folder
        monkeypatch.setattr(sys, "argv", ["benchmarks", name, "--help"])
        with pytest.raises(SystemExit) as ended:
            entry.main()
        assert ended.value.code == 0 and "--data DATA" in capsys.readouterr().out, name


def test_own_images_are_divided_and_too_few_are_said(load, tmp_path):
    own_data = load("benchmarks.own_data")
    for index in range(10):
        path = tmp_path / "ab"[index % 2] / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 5), (index, 0, 0)).save(path)
    data = own_data.images(tmp_path, 4, 2, 10)
    assert [len(split) for split in data.splits.values()] == [4, 2, 4]
    paths = [path for split in data.splits.values() for path in split.examples.paths]
    assert len(set(paths)) == 10
    assert all(
        np.bincount(split.labels).tolist() in ([2, 2], [1, 1]) for split in data.splits.values()
    )
    again = own_data.images(tmp_path, 4, 2, 10)
    assert again.train.examples.paths == data.train.examples.paths
    pixels, labels = own_data.arrays(tmp_path, 8)
    assert pixels.shape == (10, 8, 8, 3) and pixels.dtype == np.uint8
    assert (pixels[:, 0, 0, 0] % 2 == labels).all()
    with pytest.raises(SystemExit, match="has 10 images, and this takes 12: 9 to train on and 3"):
        own_data.images(tmp_path, 9, 3)


def test_own_texts_come_in_the_same_order_and_some_only_test(load, tmp_path):
    table = tmp_path / "tickets.csv"
    rows = "".join(f"text {index},{'ab'[index % 2]}\n" for index in range(40))
    table.write_text(f"text,label\n{rows}", encoding="utf-8")
    corpora = load("benchmarks.corpora")
    assert corpora.names(table) == ("tickets",)
    texts, labels = corpora.load("tickets", table)
    assert corpora.load("tickets", table) == (texts, labels) and sorted(texts) != texts
    assert all(
        label == "ab"[int(text.split()[1]) % 2] for text, label in zip(texts, labels, strict=True)
    )
    data = corpora.dataset(texts, labels, 0, 20)
    assert len(data.test) == 10 and len(data.train) == 20 and len(data.validation) == 4
    assert not set(data.test.examples.columns[0]) & set(data.train.examples.columns[0])


def test_figures_of_own_data_are_kept_apart(load, tmp_path, monkeypatch):
    results = load("benchmarks.results")
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    results.Results("some").add({"seed": 0}, {"seconds": 2.0})
    assert results.Results("some", data=Path("my/flowers")).rows() == []


def test_mails_are_read_from_the_known_archive_only(load, tmp_path, monkeypatch):
    spam_assassin = load("benchmarks.spam_assassin")
    monkeypatch.setattr(spam_assassin.platformdirs, "user_cache_dir", lambda name: str(tmp_path))
    archive = tmp_path / spam_assassin._FILE
    with tarfile.open(archive, "w:gz") as files:
        for name, content in (
            ("package/data/easy-ham-1/1.txt", "From: me\nSubject: lunch\n\nat  noon"),
            ("package/data/spam-2/2.txt", "Subject: win\n\na prize"),
            ("package/lib/index.js", "other"),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            files.addfile(member, io.BytesIO(content.encode()))
    with pytest.raises(SystemExit, match="is not the known file"):
        spam_assassin.load()
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    monkeypatch.setattr(spam_assassin, "_SHA_256", digest)
    assert spam_assassin.load() == [("lunch at noon", "ham"), ("win a prize", "spam")]
    archive.unlink()
    monkeypatch.setattr(spam_assassin.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match="there is no npm here"):
        spam_assassin.load()
