"""Texts with a tag for every word are loaded from CoNLL files and JSON lines."""

import json

import numpy as np
import pytest

import tftune
from tftune.errors import DataError

CONLL = """-DOCSTART- -X- -X- O

Alex NNP B-NP B-PER
is VBZ B-VP O

New NNP B-NP B-LOC
York NNP I-NP I-LOC
"""


def test_a_conll_file_is_read(tmp_path):
    file = tmp_path / "all.conll"
    file.write_text(CONLL)
    data = tftune.load_tagged_words(file, validation_share=0, test_share=0)
    assert data.train.task == "tags"
    assert data.class_names == ("O", "B-LOC", "B-PER", "I-LOC")
    assert [data.train.examples.text(index) for index in range(2)] == ["Alex is", "New York"]
    np.testing.assert_array_equal(data.train.labels, [[2, 0], [1, 3]])
    assert data.train.examples.names[1] == "all.conll, line 6"


def test_a_folder_of_splits_keeps_them(tmp_path):
    for name in ("train", "dev", "test"):
        (tmp_path / f"{name}.txt").write_text(CONLL.replace("Alex", name))
    data = tftune.load_tagged_words(tmp_path)
    assert [split.examples.text(0) for split in data.splits.values()] == [
        "train is",
        "dev is",
        "test is",
    ]


def test_json_lines_are_read_and_splits_hold_every_tag(tmp_path):
    rows = [
        {"tokens": ["in", "New\u00a0York" if i % 4 else "Rome"], "ner": ["O", f"B-{'XY'[i % 2]}"]}
        for i in range(40)
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    data = tftune.load_tagged_words(file, tags="ner")
    assert all((split.targets[0].counts > 0).all() for split in data.splits.values())
    texts = {split.examples.text(i) for split in data.splits.values() for i in range(len(split))}
    assert texts == {"in New_York", "in Rome"}


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"tokens": ["a", "b"], "tags": ["O"]}, "2 words but 1 tags"),
        ({"tokens": [], "tags": []}, "no words"),
        ({"tokens": ["a", " "], "tags": ["O", "O"]}, "an empty word"),
        ({"tokens": "a b", "tags": ["O", "O"]}, "must hold a list of words"),
        ({"words": ["a"], "tags": ["O"]}, "no column 'tokens'"),
        ({"tokens": ["a"], "tags": ["O"]}, "must hold tags other than 'O'"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, row, sentence):
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(row))
    with pytest.raises(DataError, match=sentence):
        tftune.load_tagged_words(file)
