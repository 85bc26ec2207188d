"""A folder of class folders becomes a Dataset, or a sentence says why not."""

import shutil
import unicodedata

import numpy as np
import pytest
from PIL import Image

import tftune
from tftune.config.image_input import ImageInput
from tftune.data.image_folder import load_image_folder
from tftune.data.pipeline import image_batches
from tftune.errors import DataError, TftuneError


@pytest.fixture
def folder(stripes_folder, tmp_path):
    return shutil.copytree(stripes_folder, tmp_path / "photos")


def test_classes_are_folders_in_order_and_every_image_is_in_one_split(stripes):
    assert stripes.class_names == ("diagonal", "horizontal", "vertical")
    paths = [path for split in stripes.splits.values() for path in split.examples.paths]
    assert len(paths) == len(set(paths)) == 24
    for split in stripes.splits.values():
        for path, label in zip(split.examples.paths, split.labels, strict=True):
            assert f"/{stripes.class_names[label]}/" in path


def test_the_fingerprint_follows_contents_and_labels_but_not_places(folder, stripes):
    moved = load_image_folder(folder)
    assert moved.fingerprint == stripes.fingerprint
    Image.new("RGB", (8, 8), "red").save(folder / "vertical" / "00.png")
    assert load_image_folder(folder).fingerprint != stripes.fingerprint


def test_a_dataset_names_its_splits_by_their_place(stripes):
    data = tftune.Dataset(stripes.train, stripes.train.take([0]), stripes.train.take([1]))
    assert [split.name for split in (data.train, data.validation, data.test)] == [
        "train",
        "validation",
        "test",
    ]


def test_hidden_files_are_ignored_and_others_are_counted(folder):
    (folder / "vertical" / ".DS_Store").touch()
    (folder / "vertical" / "notes.txt").touch()
    (folder / ".cache").mkdir()
    data = load_image_folder(folder)
    assert sum(len(split) for split in data.splits.values()) == 24
    assert data.notes == ("1 file(s) that are no images passed over.",)


def test_names_with_spaces_commas_and_other_scripts_work(stripes_folder, tmp_path):
    root = tmp_path / "my photos, 2024"
    for name, source in (("chat noir, assis", "diagonal"), ("кот", "vertical")):
        shutil.copytree(stripes_folder / source, root / name)
    data = load_image_folder(root)
    assert data.class_names == ("chat noir, assis", "кот")
    batch = next(iter(image_batches(data.train.examples, ImageInput((16, 16)))))
    assert batch.shape[1:] == (16, 16, 3)


def test_a_truncated_image_is_named(folder):
    bad = folder / "vertical" / "03.png"
    bad.write_bytes(bad.read_bytes()[:100])
    with pytest.raises(DataError, match=r"vertical/03\.png' cannot be decoded"):
        load_image_folder(folder)


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda f: shutil.rmtree(f), "must be an existing folder"),
        (lambda f: [shutil.rmtree(p) for p in f.iterdir()], "holds no class folders"),
        (lambda f: [p.unlink() for p in f.rglob("*.png")], "holds no images"),
        (lambda f: [shutil.rmtree(f / n) for n in ("diagonal", "vertical")], "holds one class"),
        (lambda f: shutil.copy(f / "vertical" / "00.png", f), "at its top level"),
        (lambda f: [(f / "vertical" / f"{i:02d}.png").unlink() for i in range(7)], "at least two"),
        (lambda f: (f / "empty class").mkdir(), r"'empty class' \(0\)"),
    ],
)
def test_an_unusable_folder_is_refused_in_a_sentence(folder, break_it, sentence):
    break_it(folder)
    with pytest.raises(DataError, match=sentence):
        load_image_folder(folder)


def test_a_file_instead_of_a_folder_is_refused(folder):
    with pytest.raises(TftuneError, match="not a file"):
        load_image_folder(folder / "vertical" / "00.png")


def test_batches_hold_the_files_pixels_resized_as_the_contract_says(stripes):
    import tensorflow as tf

    pixels = np.stack([np.asarray(Image.open(p)) for p in stripes.test.examples.paths])
    expected = tf.image.resize(pixels, (20, 30), method="bilinear", antialias=True)
    received = np.concatenate(list(image_batches(stripes.test.examples, ImageInput((20, 30)), 2)))
    np.testing.assert_array_equal(received, expected)


@pytest.mark.parametrize("words", [("train", "val", "test"), ("Training", "valid", "testing")])
def test_a_folder_that_is_already_split_stays_so(stripes_folder, tmp_path, words):
    for word, count in zip(words, (4, 2, 2), strict=True):
        for source in stripes_folder.iterdir():
            (tmp_path / word / source.name).mkdir(parents=True)
            for index in range(count):
                shutil.copy(source / f"{index:02d}.png", tmp_path / word / source.name)
    data = load_image_folder(tmp_path)
    assert data.class_names == ("diagonal", "horizontal", "vertical")
    assert [len(split) for split in data.splits.values()] == [12, 6, 6]
    assert f"/{words[1]}/" in data.validation.examples.paths[0]


def test_a_missing_split_is_taken_out_of_train(stripes_folder, tmp_path):
    shutil.copytree(stripes_folder, tmp_path / "train")
    shutil.copytree(stripes_folder, tmp_path / "test")
    data = load_image_folder(tmp_path)
    assert [len(split) for split in data.splits.values()] == [21, 3, 24]
    assert any("validation taken out of train" in note for note in data.notes)


def test_classes_called_train_and_car_are_classes(stripes_folder, tmp_path):
    shutil.copytree(stripes_folder / "vertical", tmp_path / "train")
    shutil.copytree(stripes_folder / "vertical", tmp_path / "car")
    assert load_image_folder(tmp_path).class_names == ("car", "train")


def test_content_counts_and_not_the_name(folder):
    (folder / "vertical" / "00.png").rename(folder / "vertical" / "00")
    (folder / "vertical" / "01.png").rename(folder / "vertical" / "01.jpg")
    data = load_image_folder(folder)
    assert sum(len(split) for split in data.splits.values()) == 24
    assert any("2 file(s) are of another format than their name" in note for note in data.notes)


def test_system_files_are_ignored(folder):
    for name in ("Thumbs.db", "desktop.ini", "._00.png"):
        (folder / "vertical" / name).write_bytes(b"\0\5\26\7")
    shutil.copytree(folder / "vertical", folder / "__MACOSX")
    data = load_image_folder(folder)
    assert (data.num_classes, data.notes) == (3, ())


def test_skipping_lists_every_file_left_out(folder):
    (folder / "vertical" / "00.png").write_bytes(b"")
    (folder / "vertical" / "01.png").write_bytes(b"text")
    with pytest.raises(DataError, match=r"2 of 24 .*00\.png.*01\.png.*on_bad"):
        load_image_folder(folder)
    data = load_image_folder(folder, on_bad="skip")
    assert [path.split("'")[1][-6:] for path in data.skipped] == ["00.png", "01.png"]
    assert "is empty (0 bytes)" in str(data)


def test_splits_do_not_depend_on_how_accents_are_stored(stripes_folder, tmp_path):
    """Some file systems store "é" as one character, some as two."""
    splits = []
    for form in ("NFC", "NFD"):
        root = tmp_path / form
        for name in ("é", "f"):
            source = unicodedata.normalize(form, name)
            (root / source).mkdir(parents=True)
            for index in range(8):
                target = unicodedata.normalize(form, f"{'é' if index % 2 else 'f'}{index}.png")
                shutil.copy(
                    stripes_folder / "vertical" / f"{index:02d}.png", root / source / target
                )
        splits.append(load_image_folder(root))
    assert splits[0].class_names == splits[1].class_names
    assert splits[0].fingerprint == splits[1].fingerprint
