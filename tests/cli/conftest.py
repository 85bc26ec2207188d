"""Commands run in this very process."""

import pytest
from typer.testing import CliRunner

from tftune.cli import console
from tftune.cli.main import app


@pytest.fixture
def tftune_command(monkeypatch):
    monkeypatch.setattr(console, "import_tensorflow_quietly", lambda: None)

    def run(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run
