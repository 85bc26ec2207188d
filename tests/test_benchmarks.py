"""Benchmarks are listed by name, and go on where they stopped."""

import importlib
from pathlib import Path

import pytest


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
