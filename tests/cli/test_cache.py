"""`tftune cache`: what the cache holds is listed, and deleted only when nobody uses it."""

import json
import os
import shutil
import time

import numpy as np
import pytest
from typer.testing import CliRunner

from tftune.cache.keys import cache_folder
from tftune.cache.store import ActivationStore
from tftune.cli.main import app

run = CliRunner()


@pytest.fixture
def filled():
    """Two trunks in the test's own cache, of which one was last used ten days ago."""
    store = ActivationStore()
    for trunk, count in (("a" * 32, 3), ("b" * 32, 5)):
        rows = store.open(trunk, "float32", about={"backbone": "resnet50", "boundary": "pooled"})
        rows.write(np.ones((count, 4), np.float32), [f"{trunk}{i}" for i in range(count)])
    long_ago = time.time() - 10 * 86400
    os.utime(store.trunk_folder("a" * 32) / "used", (long_ago, long_ago))
    return store


def test_info_lists_trunks_rows_and_the_place(filled):
    shown = run.invoke(app, ["cache", "info"])
    assert shown.exit_code == 0, shown.output
    assert "resnet50" in shown.output and "pooled" in shown.output
    assert "10 d ago" in shown.output and "just now" in shown.output
    assert str(cache_folder()) in shown.output.replace("\n", "")


def test_info_prints_a_table(filled, same_text, tmp_path, monkeypatch):
    shutil.copytree(cache_folder(), tmp_path / "cache", copy_function=shutil.copy2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFTUNE_CACHE", "cache")
    same_text("cache", run.invoke(app, ["cache", "info"]).output)


def test_info_as_json_holds_the_same(filled):
    value = json.loads(run.invoke(app, ["cache", "info", "--json"]).output)
    assert value["folder"] == str(cache_folder())
    assert {t["trunk"][0]: t["rows"] for t in value["trunks"]} == {
        "a": {"float32": 3},
        "b": {"float32": 5},
    }
    assert value["size_bytes"] == sum(t["size_bytes"] for t in value["trunks"]) > 0
    assert value["budget_bytes"] > 0


def test_an_empty_cache_is_shown_in_one_line():
    shown = run.invoke(app, ["cache", "info"])
    assert shown.exit_code == 0
    assert shown.output.startswith("0 B of at most")


def test_clear_deletes_what_is_older(filled):
    shown = run.invoke(app, ["cache", "clear", "--older-than", "7d"])
    assert shown.output.startswith("Deleted 1 trunk,")
    assert [path.name[0] for path in filled.root.iterdir()] == ["b"]


def test_clear_leaves_what_is_in_use(filled):
    in_use = filled.open("b" * 32, "float32")
    value = json.loads(run.invoke(app, ["cache", "clear", "--json"]).output)
    assert [name[0] for name in value["removed"]] == ["a"]
    assert [name[0] for name in value["in_use"]] == ["b"]
    assert len(in_use.missing([f"{'b' * 32}0"])) == 0


def test_a_time_that_is_none_is_refused_in_a_sentence(filled):
    shown = run.invoke(app, ["cache", "clear", "--older-than", "soon"])
    assert shown.exit_code == 2
    assert "such as '7d'" in shown.output
    assert len(list(filled.root.iterdir())) == 2
