"""`tftune search` writes what a search found, and refuses nonsense in a sentence."""

import json

import pytest

import tftune
from tftune.cli.main import main


def test_a_search_from_the_command_line(stripes_folder, tmp_path, capsys):
    output = tmp_path / "found"
    space = tmp_path / "space.json"
    limits = tftune.SearchSpace(
        dropout=0.2, optimizer="adamw", batch_size=8, head_epochs=2, fine_tune_epochs=1, unfreeze=1
    )
    space.write_text(json.dumps(limits.to_json()))
    words = ["search", stripes_folder, "--output", output, "--trials", 2, "--oracle", "random"]
    words += ["--fine-tune-trials", 0, "--space", space]
    with pytest.raises(SystemExit) as ended:
        main([*map(str, words), "--json"])
    assert ended.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert [trial["trial"] for trial in found["trials"]] == ["default", "1", "2"]
    names = {"model.keras", "plan.json", "trials.csv", "report.html", "search.json", "logs"}
    assert names <= {path.name for path in output.iterdir()}
    assert sorted(path.name for path in (output / "logs").iterdir()) == ["1", "2"]
    with pytest.raises(SystemExit) as ended:
        main([*map(str, words), "--seed", "1"])
    assert ended.value.code == 2
    assert "holds a search of something else" in capsys.readouterr().err
