"""How commands read their data, and that a run remembers it."""

import inspect
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tftune.cli import console
from tftune.cli.main import _JOURNEY, app
from tftune.cli.source import Reading, known_source
from tftune.errors import ConfigError

EXAMPLES = [
    example
    for commands in _JOURNEY.values()
    for _, examples in commands.values()
    for example in examples
]


def note(folder: Path, command: str = "train", **arguments: object) -> Path:
    file = folder / "run.json"
    file.write_text(json.dumps({"command": command, "arguments": arguments}))
    return file


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_of_the_help_is_understood(example, understand, tmp_path, monkeypatch):
    (tmp_path / "runs" / "flowers").mkdir(parents=True)
    note(tmp_path / "runs" / "flowers", data="flowers")
    monkeypatch.chdir(tmp_path)
    understand(example)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_fits_a_terminal_of_80_columns(example):
    assert len(example) <= 78


def test_every_command_that_prints_a_table_tells_it_as_json_too():
    modules = {
        name: module for commands in _JOURNEY.values() for name, (module, _) in commands.items()
    }
    parameters = {name: inspect.signature(m.command).parameters for name, m in modules.items()}
    lacking = {name for name, known in parameters.items() if "as_json" not in known}
    assert lacking == {"convert-bert", "report"}  # which say what they wrote


def test_a_run_is_evaluated_on_the_split_it_was_trained_with(tmp_path):
    note(tmp_path, seed=7, group="animal", label=["species"], data="labels.csv")
    assert Reading().or_as_in(tmp_path) == Reading(seed=7, group="animal", label=["species"])
    # What is said counts before what the run says.
    assert Reading(seed=0).or_as_in(tmp_path).seed == 0
    assert known_source(None, tmp_path) == Path("labels.csv")


def test_a_model_that_does_not_say_its_data_wants_it_named(tmp_path):
    with pytest.raises(ConfigError, match="DATA must be given"):
        known_source(None, tmp_path / "model.keras")


def test_a_config_of_another_command_is_refused(tmp_path):
    file = note(tmp_path, command="search", data="flowers")
    done = CliRunner().invoke(app, ["train", "--config", str(file), "--dry-run"])
    assert done.exit_code == 2
    assert "is of `tftune search`. Received it for `tftune train`" in done.stderr


def test_bad_rows_are_left_out_where_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(console, "import_tensorflow_quietly", lambda: None)
    lines = ["body,queue", *(f"text number {i},{'ab'[i % 2]}" for i in range(40)), ",a"]
    table = tmp_path / "tickets.csv"
    table.write_text("\n".join(lines))
    columns = ["--text", "body", "--label", "queue", "--no-features", "-q"]
    done = CliRunner().invoke(app, ["audit", str(table), *columns])
    assert done.exit_code == 2 and "--on-bad skip" in done.stderr, done.output
    done = CliRunner().invoke(app, ["audit", str(table), *columns, "--on-bad", "skip"])
    assert "40 texts audited" in done.output, done.output
