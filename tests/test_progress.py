"""The time that remains is what was expected, corrected by the pace of the step under way."""

import pytest

from tftune.progress import Outlook, Progress


def test_steps_that_have_not_begun_take_what_was_expected():
    outlook = Outlook({"pass": 10, "head": 5, "top": 20})
    assert outlook.remaining == 35
    outlook.told("pass", 1, 10, now=100.0)
    assert outlook.remaining == pytest.approx(9 + 25)


def test_the_step_under_way_takes_what_its_pace_says():
    outlook = Outlook({"pass": 10, "head": 5})
    outlook.told("pass", 1, 10, now=100.0)
    outlook.told("pass", 5, 10, now=112.0)  # four tenths in 12 s, so 15 s for the other half
    assert outlook.remaining == pytest.approx(15 + 5)
    outlook.told("pass", 10, 10, now=127.0)
    assert outlook.remaining == pytest.approx(5)
    assert outlook.share == pytest.approx(30 / 35)


def test_a_step_that_was_passed_over_takes_nothing():
    outlook = Outlook({"pass": 10, "head": 5, "top": 20})
    outlook.told("head", 5, 5, now=0.0)
    assert outlook.remaining == 20
    outlook.told("unexpected", 1, 2, now=0.0)
    assert outlook.remaining == 20


@pytest.mark.parametrize("forced", ["", "1"])
def test_piped_output_says_what_is_left_behind_every_step(forced, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", forced)  # as CI services do
    with Progress() as progress:
        progress.expect({"pass": 30, "head": 200})
        progress.step("pass")(7, 7)
        progress.step("head")(3, 3, "val loss 0.5")
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["pass: 7/7  (3 min left in all)", "head: 3/3  val loss 0.5"]
