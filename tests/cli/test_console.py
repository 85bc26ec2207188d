"""What the command line says can be pasted into a shell."""

import shlex
from pathlib import Path

from tftune.cli.console import as_command


def test_a_command_is_read_by_a_shell_as_it_was_meant():
    words = ("export", Path("my runs/first"), "it's.tflite", "--verify", "photos, mine")
    assert shlex.split(as_command(*words)) == ["tftune", *map(str, words)]
    assert as_command("evaluate", "runs/first") == "tftune evaluate runs/first"
