"""A folder holds one search; another one is refused with what changed."""

import pytest

from tftune.errors import ConfigError, OutputExistsError, ResumeError
from tftune.tuning.budget import Clock, seconds_of
from tftune.tuning.search_folder import begin_search

_IDENTITY = {
    "space": {"hidden": [], "dropout": {"float": {"low": 0.0, "high": 0.5}}},
    "oracle": "random",
    "data": "abc",
    "models": {"resnet50": "123"},
}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"oracle": "grid"}, "oracle was 'random', is 'grid'"),
        ({"data": "abd"}, "Changed: the data."),
        ({"models": {"resnet50": "124"}}, "Changed: the model resnet50."),
        (
            {"space": {"hidden": [], "dropout": {"float": {"low": 0.1, "high": 0.5}}}},
            "space.dropout.float.low was 0.0, is 0.1",
        ),
    ],
)
def test_a_search_of_something_else_is_refused_and_says_what_changed(tmp_path, changed, message):
    folder = begin_search(tmp_path / "found", False, _IDENTITY)
    (folder / "head").mkdir()
    assert begin_search(folder, False, _IDENTITY) == folder
    assert (folder / "head").exists()
    with pytest.raises(ResumeError, match=message):
        begin_search(folder, False, {**_IDENTITY, **changed})
    begin_search(folder, True, {**_IDENTITY, **changed})
    assert not (folder / "head").exists()


def test_what_is_no_search_is_never_written_over(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(OutputExistsError, match="not the folder of a search"):
        begin_search(tmp_path, True, _IDENTITY)
    assert (tmp_path / "thesis.tex").exists()


def test_a_budget_is_a_length_of_time():
    assert [seconds_of(b) for b in ("90s", "10m", "1.5h", 20)] == [90, 600, 5400, 20]
    assert seconds_of(None) == float("inf") and not Clock(seconds_of(None)).is_over()
    for nonsense in ("soon", "-3m", 0):
        with pytest.raises(ConfigError, match="`budget`"):
            seconds_of(nonsense)
