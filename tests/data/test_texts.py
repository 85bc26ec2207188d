"""Texts load from tables, folders and lists; what cannot be used is named in a sentence."""

import json

import numpy as np
import pandas as pd
import pytest

import tftune
from tftune.config.image_input import ImageInput
from tftune.config.text_input import TextInput
from tftune.data.pipeline import input_batches
from tftune.errors import DataError

ROWS = [(f"text number {i}", "odd" if i % 2 else "even") for i in range(20)]


def write_table(folder, suffix):
    file = folder / f"texts{suffix}"
    table = pd.DataFrame(ROWS, columns=["body", "kind"])
    if suffix == ".parquet":
        table.to_parquet(file)
    elif suffix == ".jsonl":
        file.write_text("\n".join(json.dumps(row) for row in table.to_dict("records")))
    else:
        table.to_csv(file, sep="\t" if suffix == ".tsv" else ",", index=False)
    return file


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_kind_of_table_gives_the_same_data(tmp_path, suffix):
    data = tftune.load_text_table(write_table(tmp_path, suffix), text="body", label="kind")
    expected = tftune.load_texts([text for text, _ in ROWS], [kind for _, kind in ROWS])
    assert data.fingerprint == expected.fingerprint
    assert data.class_names == ("even", "odd")
    assert data.train.examples.names[0].startswith("row ")


def test_a_folder_with_a_folder_a_class(tmp_path):
    for index, (text, kind) in enumerate(ROWS):
        (tmp_path / kind).mkdir(exist_ok=True)
        (tmp_path / kind / f"{index}.txt").write_text(text)
    data = tftune.load_text_folder(tmp_path)
    assert data.class_names == ("even", "odd")
    assert sum(len(split) for split in data.splits.values()) == 20


def test_folders_that_are_divided_already_stay_so(tmp_path):
    for split, count in (("train", 4), ("test", 2)):
        for kind in ("even", "odd"):
            (tmp_path / split / kind).mkdir(parents=True)
            for index in range(count):
                (tmp_path / split / kind / f"{index}.txt").write_text(f"{split} {kind} {index}")
    data = tftune.load_text_folder(tmp_path, validation_share=0)
    assert (len(data.train), len(data.test)) == (8, 4)


def test_pairs_and_several_labels(tmp_path):
    rows = [{"q": f"q{i}", "a": f"a{i}", "kind": "xy"[i % 2], "score": i / 2} for i in range(12)]
    file = tmp_path / "pairs.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    data = tftune.load_text_table(file, text=("q", "a"), label=["kind", "score"])
    assert [target.task for target in data.train.targets] == ["multiclass", "regression"]
    (batch,) = input_batches(data.train.examples, TextInput(8, 2), 64)
    assert batch.shape == (len(data.train), 2)
    first = data.train.examples.text(0)
    assert [part.decode() for part in batch[0].numpy()] == list(first)


def test_a_model_of_images_and_texts_do_not_fit():
    data = tftune.load_texts(["a", "b"], ["x", "y"], validation_share=0, test_share=0)
    with pytest.raises(DataError, match=r"reads images, but the data holds texts"):
        input_batches(data.train.examples, ImageInput((8, 8)))
    with pytest.raises(DataError, match="no pixels"):
        data.train.examples.pixels(0)


def test_the_encoding_is_detected_by_its_mark_or_named(tmp_path):
    text = "text,label\nnaïve café,x\nplain,y\n"
    for name in ("utf-8-sig", "utf-16", "utf-32"):
        file = tmp_path / f"{name}.csv"
        file.write_bytes(text.encode(name))
        assert "naïve café" in tftune.load_text_table(file, test_share=0).train.examples.columns[0]
    file = tmp_path / "old.csv"
    file.write_bytes(text.encode("cp1252"))
    with pytest.raises(
        DataError, match=r"cannot be read as utf-8: line 2 holds the byte 0xef\. Name its"
    ):
        tftune.load_text_table(file)
    data = tftune.load_text_table(file, encoding="cp1252", test_share=0)
    assert "naïve café" in data.train.examples.columns[0]
    with pytest.raises(DataError, match="`encoding` must be one that Python knows"):
        tftune.load_text_table(file, encoding="nonsense")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"text,label\na\0b,x\nc,y\n", "NUL characters, first in line 2"),
        (b"text,label\n,x\nb,y\n", "Row 1 has no text"),
        (b"text,label\n   ,x\nb,y\n", "Row 1 has no text"),
        (b"text,label\na,\nb,y\n", "Row 1 has no label"),
        (b"text,label\n", "has no rows"),
        (b"text,lable\na,x\n", r"`label` must name one of: 'text', 'lable'. Did you mean 'lable'"),
    ],
)
def test_what_is_wrong_with_a_table_is_one_sentence(tmp_path, content, said):
    file = tmp_path / "bad.csv"
    file.write_bytes(content)
    with pytest.raises(DataError, match=said):
        tftune.load_text_table(file)


def test_rows_that_cannot_be_used_are_left_out_when_asked(tmp_path):
    file = tmp_path / "some.csv"
    file.write_text("text,label\n,x\na,x\nb,y\nc,x\nd,y\n")
    data = tftune.load_text_table(file, on_bad="skip", validation_share=0, test_share=0)
    assert data.skipped == ("Row 1 has no text.",)
    assert len(data.train) == 4


def test_numbers_are_read_as_text_and_a_note_says_so(tmp_path):
    file = tmp_path / "numbers.jsonl"
    rows = [{"text": 10 + i, "label": "xy"[i % 2]} for i in range(4)]
    file.write_text("\n".join(map(json.dumps, rows)))
    data = tftune.load_text_table(file, validation_share=0, test_share=0)
    assert "10" in data.train.examples.columns[0]
    assert any("read as text" in note for note in data.notes)
    file = tmp_path / "numbers.csv"
    file.write_text("text,body,label\n1,a b,x\n2.5,c,y\n-3,d,x\n4e1,e,y\n")
    shares = {"validation_share": 0, "test_share": 0}
    notes = tftune.load_text_table(file, **shares).notes
    assert any("numbers only" in note and "'body'" in note for note in notes)
    assert not any("number" in n for n in tftune.load_text_table(file, text="body", **shares).notes)


def test_copies_are_noted_and_lists_are_checked():
    data = tftune.load_texts(["a b", "a b", "c"], ["x", "y", "x"], validation_share=0, test_share=0)
    assert any("1 text(s) are exact copies" in note for note in data.notes)
    with pytest.raises(DataError, match=r"Received at 1: 3"):
        tftune.load_texts(["a", 3], ["x", "y"])
    with pytest.raises(DataError, match="2 labels for 1 texts"):
        tftune.load_texts(["a"], ["x", "y"])
    with pytest.raises(DataError, match="Received both"):
        tftune.load_texts(["a", ("b", "c")], ["x", "y"])


def test_fingerprints_tell_texts_apart_by_content():
    examples = tftune.load_texts(
        [("a", "bc"), ("ab", "c"), ("a", "bc")], ["x", "y", "x"], validation_share=0, test_share=0
    ).train.examples
    assert len(set(examples.fingerprints)) == 2
    assert examples.take(np.array([1])).fingerprints == (examples.fingerprints[1],)
