"""`tftune backbones` prints the registry in the order asked for."""

import json

import pytest

from tftune.builders.presets import PRESETS
from tftune.cli.backbones import command


@pytest.mark.parametrize("sort", ["size", "accuracy", "speed"])
def test_the_table_holds_every_backbone_whole_within_80_columns(sort, capsys):
    command(sort=sort)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    first_words = {line.split()[0] for line in lines if line.strip()}
    assert set(PRESETS) <= first_words


def test_json_holds_every_figure_with_its_source(capsys):
    command(sort="accuracy", as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows][0] == "convnext_xlarge"
    assert {"top1", "top1_source", "int8", "int8_reason", "mflops", "source"} <= set(rows[0])
