"""Every mistake on the way from a folder to a phone ends in a sentence that names its cure."""

import shutil

import pytest

import tftune


@pytest.fixture(scope="module")
def crowded(place, tmp_path_factory):
    """What people get wrong, beside a good folder and a finished run."""
    crowded = tmp_path_factory.mktemp("crowded") / "here"
    shutil.copytree(place, crowded)
    shutil.copytree(crowded / "photos", crowded / "damaged")
    (crowded / "damaged" / "vertical" / "cut.jpg").write_bytes(b"\xff\xd8\xff")
    shutil.copytree(crowded / "photos" / "vertical", crowded / "one" / "vertical")
    for name, like in (("cat", "vertical"), ("dog", "diagonal")):
        shutil.copytree(crowded / "photos" / like, crowded / "animals" / name)
    rows = [f"photos/{name}/0{i}.png,{name}" for name in ("vertical", "diagonal") for i in range(8)]
    (crowded / "labels.csv").write_text("\n".join(["path,kind", *rows]))
    tftune.export_tflite(tftune.load(crowded / "runs" / "stripes"), crowded / "good.tflite")
    return crowded


NEW = ("--output", "new")


@pytest.mark.parametrize(
    ("arguments", "cure"),
    [
        (("audit", "fotos"), "Did you mean 'photos'?"),
        (("train", "photo", *NEW), "Did you mean 'photos'?"),
        (("train", "label.csv", *NEW), "Did you mean 'labels.csv'?"),
        (("train", "labels.csv", *NEW), "`label` must name one of: 'path', 'kind'."),
        (("train", "one", *NEW), "add a folder of images that are something else"),
        (("train", "damaged", *NEW), "(--on-bad skip)"),
        (("train", "photos", "--output", "runs/stripes"), "(--overwrite)"),
        (("train", "photos", *NEW, "--backbone", "resnet5"), "Did you mean 'resnet50'"),
        (("train", "photos", *NEW, "--unfreeze", "blok7"), "'block7'"),
        (("evaluate", "runs/stripes", "--split", "tset"), "Did you mean 'test'"),
        (("predict", "runs/stripes", "new.jpg"), "cannot be read: No such file"),
        (("evaluate", "runs/stripe"), "Did you mean 'runs/stripes'?"),
        (("evaluate", "runs"), "`tftune train DATA --output RUN`"),
        (("export", "runs/stripes", "new.tfl"), "Did you mean 'new.tflite'?"),
        (("export", "runs/stripes", "new.tflite", "--quantize", "int8"), "(--verify DATA"),
        (("export", "runs/stripes", "good.tflite"), "(--overwrite)"),
        (("verify", "god.tflite", "--data", "photos"), "Did you mean 'good.tflite'?"),
        (("verify", "good.tflite", "--data", "animals"), "such as what it was trained on"),
        (("doctor", "god.tflite"), "Did you mean 'good.tflite'?"),
        (("compare", "runs/stripe", "runs/stripes"), "Did you mean 'runs/stripes'?"),
    ],
)
def test_a_mistake_is_told_with_its_cure(tftune_command, crowded, monkeypatch, arguments, cure):
    monkeypatch.chdir(crowded)
    done = tftune_command(*arguments)
    assert done.exit_code == 2, done.output
    assert cure in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (crowded / "new").exists()
