"""A table of paths and labels becomes a Dataset, or a sentence says why not."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import tftune
from tftune.errors import DataError


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Twenty images named 0.png to 19.png."""
    folder = tmp_path_factory.mktemp("photos")
    for index in range(20):
        Image.new("RGB", (8, 6), (index * 12, 40, 90)).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def rows():
    return pd.DataFrame(
        {
            "path": [f"{index}.png" for index in range(20)],
            "label": ["кот" if index % 2 else "dog, brown" for index in range(20)],
            "tags": [
                "|".join(["wet"] * (index % 3 == 0) + ["old"] * (index % 4 == 0))
                for index in range(20)
            ],
            "age": [f"{index / 2}" for index in range(20)],
            "patient": [f"p{index // 4}" for index in range(20)],
            "part": ["train"] * 12 + ["val"] * 4 + ["test"] * 4,
        }
    )


def everything(data):
    """All examples as (file name, labels) by path."""
    found = {}
    for split in data.splits.values():
        for index, path in enumerate(split.examples.paths):
            found[path.rsplit("/", 1)[-1]] = [target.labels[index] for target in split.targets]
    return found


def write(rows, folder, suffix):
    path = folder / f"table{suffix}"
    if suffix == ".parquet":
        rows.to_parquet(path)
    elif suffix == ".jsonl":
        rows.to_json(path, orient="records", lines=True, force_ascii=False)
    else:
        rows.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_table_format_gives_the_same_examples_and_splits(photos, rows, tmp_path, suffix):
    data = tftune.load_image_table(write(rows, tmp_path, suffix), root=photos)
    assert data.class_names == ("dog, brown", "кот")
    assert [len(split) for split in data.splits.values()] == [14, 4, 2] or sum(
        len(split) for split in data.splits.values()
    ) == 20
    labels = everything(data)
    assert all(labels[f"{index}.png"] == [index % 2] for index in range(20))
    again = tftune.load_image_table(write(rows, photos, ".csv"))
    assert again.fingerprint == data.fingerprint


def test_several_columns_become_several_targets(photos, rows, tmp_path):
    table = write(rows, tmp_path, ".csv")
    data = tftune.load_image_table(table, label=["label", "tags", "age"], root=photos)
    assert [(t.name, t.task) for t in data.train.targets] == [
        ("label", "multiclass"),
        ("tags", "multilabel"),
        ("age", "regression"),
    ]
    assert data.train.targets[1].class_names == ("old", "wet")
    label, tags, age = everything(data)["4.png"]
    assert (label, tags.tolist(), age.tolist()) == (0, [1, 0], [2.0])
    assert any("regression" in note for note in data.notes)


def test_numbers_can_be_declared_classes(photos, rows, tmp_path):
    rows["age"] = [str(index % 3) for index in range(20)]
    table = write(rows, tmp_path, ".csv")
    data = tftune.load_image_table(table, label="age", tasks={"age": "multiclass"}, root=photos)
    assert data.class_names == ("0", "1", "2")


def test_unknown_labels_are_marked_where_another_column_has_one(photos, rows, tmp_path):
    rows.loc[3, "label"] = ""
    rows.loc[4, "age"] = ""
    table = write(rows, tmp_path, ".csv")
    data = tftune.load_image_table(table, label=["label", "age"], root=photos)
    assert everything(data)["3.png"][0] == -1
    assert np.isnan(everything(data)["4.png"][1])
    assert sum(t.counts.sum() for t in (s.targets[0] for s in data.splits.values())) == 19
    with pytest.raises(DataError, match=r"Row 4 \('3.png'\) has no label"):
        tftune.load_image_table(table, root=photos)


def test_json_tells_no_label_from_unknown_labels(photos, tmp_path):
    lines = [{"path": f"{i}.png", "label": [["a", "b"], [], None, ["b"]][i % 4]} for i in range(20)]
    table = tmp_path / "t.jsonl"
    table.write_text("\n".join(map(json.dumps, lines)))
    data = tftune.load_image_table(table, root=photos, on_bad="skip")
    assert len(data.skipped) == 5
    assert "Row 3 ('2.png') has no label." in data.skipped
    assert everything(data)["1.png"][0].tolist() == [0, 0]


def test_no_group_is_in_two_splits(photos, rows, tmp_path):
    data = tftune.load_image_table(write(rows, tmp_path, ".csv"), group="patient", root=photos)
    patients = [
        {int(path.rsplit("/", 1)[-1][:-4]) // 4 for path in split.examples.paths}
        for split in data.splits.values()
    ]
    assert sum(len(p) for p in patients) == len(set().union(*patients)) == 5
    assert all(patients)


def test_ready_made_splits_are_kept(photos, rows, tmp_path):
    data = tftune.load_image_table(write(rows, tmp_path, ".csv"), split="part", root=photos)
    assert [len(split) for split in data.splits.values()] == [12, 4, 4]
    assert "Ready-made splits" in str(data)


def test_a_group_in_two_ready_made_splits_is_refused(photos, rows, tmp_path):
    rows["patient"] = "p1"
    table = write(rows, tmp_path, ".csv")
    with pytest.raises(DataError, match="Group 'group p1' is in two|Group 'p1' is in two"):
        tftune.load_image_table(table, split="part", group="patient", root=photos)


def test_skipping_lists_every_row_left_out_and_raising_names_it(photos, rows, tmp_path):
    rows.loc[0, "path"] = "missing.png"
    rows.loc[1, "path"] = ""
    table = write(rows, tmp_path, ".csv")
    with pytest.raises(DataError, match=r"2 of 20 .*missing\.png.*Row 2 names no image.*on_bad"):
        tftune.load_image_table(table, root=photos)
    data = tftune.load_image_table(table, root=photos, on_bad="skip")
    assert len(data.skipped) == 2
    assert "missing.png" in str(data)
    assert "2 file(s) skipped" in str(data)


@pytest.mark.parametrize(
    ("change", "arguments", "sentence"),
    [
        (lambda t: t.unlink(), {}, "must be an existing file"),
        (lambda t: t.write_bytes(b""), {}, "cannot be read"),
        (lambda t: t.write_bytes(b"path,label\n"), {}, "has no rows"),
        (lambda t: t.write_bytes(b"\xff\xfe\0\x01,\n\x80"), {}, "cannot be read"),
        (lambda t: t.write_bytes(b'path,label\n"open'), {}, "cannot be read"),
        (lambda t: None, {"label": "lable"}, "has no column 'lable'.*Did you mean 'label'"),
        (lambda t: None, {"label": []}, "at least one column"),
        (lambda t: None, {"tasks": {"label": "multiclas"}}, "Did you mean 'multiclass'"),
        (lambda t: None, {"tasks": {"label": "regression"}}, "finite numbers.*row 1"),
        (lambda t: None, {"split": "label"}, "must be train, validation or test"),
        (lambda t: None, {"on_bad": "ignore"}, "on_bad"),
        (lambda t: None, {"validation_share": 2}, "sum to less than 1"),
        (lambda t: None, {"label": "same"}, "at least 2 different labels"),
    ],
)
def test_an_unusable_table_is_refused_in_a_sentence(
    photos, rows, tmp_path, change, arguments, sentence
):
    rows["same"] = "x"
    table = write(rows, tmp_path, ".csv")
    change(table)
    with pytest.raises(tftune.TftuneError, match=sentence):
        tftune.load_image_table(table, root=photos, **arguments)


@pytest.mark.parametrize("line", ['{"path": ', "[1]", "3", "nonsense"])
def test_a_damaged_json_line_is_named(tmp_path, line):
    table = tmp_path / "t.jsonl"
    table.write_text('{"path": "a.png", "label": "x"}\n' + line)
    with pytest.raises(DataError, match=r"Line 2 of 't.jsonl'"):
        tftune.load_image_table(table)


def test_damaged_parquet_and_unknown_formats_are_refused(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1 nonsense PAR1")
    with pytest.raises(DataError, match="cannot be read"):
        tftune.load_image_table(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"must end in one of \.csv"):
        tftune.load_image_table(tmp_path / "t.xlsx")
