"""An audit finds what was planted, and nothing else."""

import shutil

import numpy as np
import pytest
import skimage.data
from PIL import Image
from sklearn.datasets import load_digits

import tftune
from tftune.cache.store import ActivationStore
from tftune.cache.trunk_pass import boundary_activations
from tftune.data.image_files import ImageFiles
from tftune.data.targets import Target
from tftune.errors import DataError
from tftune.results.audit import distinct


def _crops(name, count):
    pixels = getattr(skimage.data, name)()
    places = [
        (top, left)
        for top in range(0, pixels.shape[0] - 63, 64)
        for left in range(0, pixels.shape[1] - 63, 64)
    ]
    crops = [pixels[top : top + 64, left : left + 64] for top, left in places]
    return [Image.fromarray(crop) for crop in crops if crop.std() > 12][:count]


@pytest.fixture(scope="session")
def clean_folder(tmp_path_factory):
    """Real photographs cut into pieces that do not overlap: 3 classes of 24."""
    root = tmp_path_factory.mktemp("audit") / "pieces"
    for name in ("astronaut", "chelsea", "coffee"):
        (root / name).mkdir(parents=True)
        for index, crop in enumerate(_crops(name, 24)):
            crop.save(root / name / f"{index:02d}.png")
    return root


@pytest.fixture
def folder(clean_folder, tmp_path):
    return shutil.copytree(clean_folder, tmp_path / "pieces")


def _audit(data, **options):
    return tftune.audit(data, features=False, verbose=False, **options)


def _kinds(report):
    return {issue.kind for issue in report.issues}


def _named(report, kind):
    examples = distinct(issue.examples for issue in report.of_kind(kind))
    return sorted(example.short_name for example in examples)


def test_clean_photographs_raise_no_alarm(clean_folder):
    report = _audit(clean_folder)
    assert report.issues == ()
    assert report.num_examples == 72
    assert not report.spoils_training


def test_damaged_files_are_listed_and_dropped(folder):
    whole = (folder / "chelsea" / "03.png").read_bytes()
    (folder / "chelsea" / "03.png").write_bytes(whole[: len(whole) // 2])
    (folder / "coffee" / "empty.jpg").touch()
    report = _audit(folder)
    assert report.spoils_training
    said = " ".join(issue.message for issue in report.of_kind("unreadable"))
    assert len(report.of_kind("unreadable")) == 2
    assert "03.png" in said
    assert "empty.jpg" in said
    row = next(line for line in str(report).splitlines() if "unreadable" in line)
    assert row.split()[2:4] == ["2", "2"]  # findings and images
    data = tftune.load_image_folder(folder, check_files=False, on_bad="skip")
    kept = data.drop(_audit(data).issues)
    assert not [
        p
        for split in kept.splits.values()
        for p in split.examples.paths
        if "03.png" in p and "chelsea" in p
    ]
    assert not _audit(kept).spoils_training


def test_a_file_only_one_decoder_takes_does_not_stop_the_features(folder):
    # TensorFlow checks the sums of PNG chunks, Pillow does not; loading falls back on Pillow.
    path = folder / "chelsea" / "03.png"
    content = bytearray(path.read_bytes())
    content[-14] ^= 1  # in the sum of the last pixel chunk, before the 12 bytes of IEND
    path.write_bytes(content)
    report = tftune.audit(folder, image_size=(32, 32), weights=None, verbose=False)
    assert report.num_examples == 72
    assert not report.of_kind("unreadable")


def _dataset(folder, train, validation=(), test=()):
    """A dataset of chosen files; what a file's folder is called is its class."""
    names = ("astronaut", "chelsea", "coffee")
    splits = {}
    for name, files in {"train": train, "validation": validation, "test": test}.items():
        labels = [names.index(file.split("/")[0]) for file in files]
        examples = ImageFiles(tuple(str(folder / file) for file in files))
        splits[name] = tftune.Split.of_classes(name, examples, labels, names)
    return tftune.Dataset(**splits)


def _files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


def test_exact_duplicates_are_found_and_one_stays(folder):
    shutil.copy(folder / "coffee" / "00.png", folder / "coffee" / "copy.png")
    data = _dataset(folder, _files(folder))
    report = _audit(data)
    assert _named(report, "exact_duplicate") == ["coffee/00.png", "coffee/copy.png"]
    assert _kinds(report) == {"exact_duplicate"}
    kept = data.drop(report.issues).train.examples.paths
    assert str(folder / "coffee" / "00.png") in kept
    assert str(folder / "coffee" / "copy.png") not in kept
    assert len(kept) == 72


def _re_encode(source, target, scale=0.8, quality=70):
    with Image.open(source) as image:
        side = round(image.width * scale)
        image.resize((side, side)).save(target, "JPEG", quality=quality)


def test_near_duplicates_are_found_and_one_stays(folder):
    _re_encode(folder / "coffee" / "00.png", folder / "coffee" / "again.png")
    data = _dataset(folder, _files(folder))
    report = _audit(data)
    assert _named(report, "near_duplicate") == ["coffee/00.png", "coffee/again.png"]
    assert _kinds(report) == {"near_duplicate"}
    assert len(data.drop(report.issues).train) == 72


@pytest.mark.parametrize("copy", [shutil.copy, _re_encode])
def test_copies_across_splits_are_errors_and_the_test_copy_stays(folder, copy):
    copy(folder / "coffee" / "00.png", folder / "coffee" / "a.png")
    copy(folder / "coffee" / "00.png", folder / "coffee" / "b.png")
    files = [
        f for f in _files(folder) if f not in ("coffee/00.png", "coffee/a.png", "coffee/b.png")
    ]
    data = _dataset(folder, [*files, "coffee/a.png"], ["coffee/b.png"], ["coffee/00.png"])
    report = _audit(data)
    assert report.spoils_training
    assert _named(report, "leakage") == ["coffee/00.png", "coffee/a.png", "coffee/b.png"]
    kept = data.drop(report.of_kind("leakage"))
    assert [len(split) for split in kept.splits.values()] == [71, 0, 1]
    everything = [path for split in kept.splits.values() for path in split.examples.paths]
    assert len(set(everything)) == len(everything)
    assert not _audit(kept).spoils_training


def test_equal_images_with_different_labels_are_an_error_and_none_stays(folder):
    shutil.copy(folder / "coffee" / "00.png", folder / "chelsea" / "copy.png")
    data = _dataset(folder, _files(folder))
    report = _audit(data)
    (issue,) = report.of_kind("label_conflict")
    assert issue.severity == "error"
    assert "chelsea, coffee" in issue.message
    assert len(data.drop([issue]).train) == 71


def test_similar_images_with_different_labels_are_a_warning(folder):
    _re_encode(folder / "coffee" / "00.png", folder / "chelsea" / "copy.png")
    (issue,) = _audit(_dataset(folder, _files(folder))).of_kind("label_conflict")
    assert issue.severity == "warning"


def test_missing_tiny_and_unbalanced_classes_are_listed(folder):
    files = _files(folder)
    by_class = {
        n: [f for f in files if f.startswith(n)] for n in ("chelsea", "coffee", "astronaut")
    }
    report = _audit(_dataset(folder, by_class["chelsea"] + by_class["coffee"][:2]))
    assert [issue.message for issue in report.of_kind("missing_class")] == [
        "astronaut has no images to train on."
    ]
    assert [issue.message for issue in report.of_kind("tiny_class")] == [
        "coffee has 2 images to train on."
    ]
    assert "chelsea has 24" in report.of_kind("class_imbalance")[0].message
    assert report.spoils_training


def test_constant_and_dark_images_are_listed(folder):
    with Image.open(folder / "coffee" / "05.png") as image:
        image.point(lambda value: value // 8).save(folder / "coffee" / "night.png")
    Image.new("RGB", (64, 64), (90, 120, 150)).save(folder / "coffee" / "plain.png")
    Image.new("RGB", (64, 64)).save(folder / "coffee" / "black.png")
    checkerboard = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    Image.fromarray(checkerboard).save(folder / "coffee" / "fine.png")  # plain from afar only
    report = _audit(_dataset(folder, _files(folder)))
    assert _named(report, "dark_image") == ["coffee/night.png"]
    assert _named(report, "constant_image") == ["coffee/black.png", "coffee/plain.png"]


def test_odd_sizes_and_shapes_are_listed(folder):
    pixels = skimage.data.rocket()
    Image.fromarray(pixels[:400, :400]).save(folder / "coffee" / "large.png")
    Image.fromarray(pixels[200:240, :200]).save(folder / "coffee" / "wide.png")
    Image.fromarray(pixels[300:312, 300:312]).save(folder / "coffee" / "small.png")
    report = _audit(_dataset(folder, _files(folder)))
    assert _named(report, "odd_size") == ["coffee/large.png", "coffee/small.png"]
    assert _named(report, "odd_aspect_ratio") == ["coffee/wide.png"]


def test_images_turned_by_exif_are_noted_and_kept(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(folder / "coffee" / "00.png") as image:
        image.save(folder / "coffee" / "00.jpg", quality=95, exif=exif)
    (folder / "coffee" / "00.png").unlink()
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.*g"))
    data = _dataset(folder, files)
    report = _audit(data)
    assert _named(report, "exif_rotated") == ["coffee/00.jpg"]
    assert not report.spoils_training
    assert data.drop(report.issues) is data


@pytest.fixture(scope="module")
def planted(clean_folder, tmp_path_factory):
    """Four pieces in the wrong folder and one stranger, audited with real weights at 64 pixels."""
    root = shutil.copytree(clean_folder, tmp_path_factory.mktemp("planted") / "pieces")
    for index in (3, 11):
        shutil.move(root / "coffee" / f"{index:02d}.png", root / "chelsea" / f"c{index}.png")
        shutil.move(root / "chelsea" / f"{index:02d}.png", root / "astronaut" / f"h{index}.png")
    return tftune.audit(root, image_size=(64, 64), verbose=False)


def test_likely_label_errors_are_listed_with_what_they_look_like(planted):
    wrong = {"chelsea/c3.png", "chelsea/c11.png", "astronaut/h3.png", "astronaut/h11.png"}
    found = _named(planted, "label_error")
    assert len(wrong & set(found)) >= 3
    assert len(set(found) - wrong) <= 3
    messages = " ".join(issue.message for issue in planted.of_kind("label_error"))
    assert "is labelled chelsea but looks like coffee" in messages
    assert any(note.startswith("Estimated number of wrong labels") for note in planted.notes)
    assert not planted.spoils_training


@pytest.fixture(scope="module")
def clean_store(tmp_path_factory):
    return ActivationStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def clean_report(clean_folder, clean_store):
    return tftune.audit(clean_folder, image_size=(64, 64), store=clean_store, verbose=False)


def test_clean_labels_raise_few_alarms(clean_report):
    assert len(clean_report.of_kind("label_error")) <= 2
    assert len(clean_report.of_kind("outlier")) <= 2
    assert not clean_report.spoils_training


def test_training_finds_the_features_the_audit_cached(clean_report, clean_folder, clean_store):
    data = tftune.load_image_folder(clean_folder)
    model = tftune.build_image_classifier("efficientnet_lite0", data, image_size=(64, 64))
    trunk, _ = model.cut(model.spec.pooled_layer)
    passes = []
    for split in data.splits.values():
        boundary_activations(
            trunk, split.examples, store=clean_store, on_progress=lambda *done: passes.append(done)
        )
    assert passes == []


def test_a_photograph_among_digits_is_an_outlier(tmp_path):
    digits = load_digits()
    for index in range(60):
        folder = tmp_path / "digits" / str(digits.target[index] % 2)
        folder.mkdir(parents=True, exist_ok=True)
        scan = Image.fromarray((digits.images[index] * 15.9).astype(np.uint8))
        scan.resize((64, 64), Image.Resampling.BICUBIC).save(folder / f"{index}.png")
    _crops("chelsea", 1)[0].save(folder / "cat.png")
    report = tftune.audit(tmp_path / "digits", image_size=(64, 64), verbose=False)
    assert _named(report, "outlier") == [f"{folder.name}/cat.png"]


def test_few_images_are_audited_without_features_and_it_is_said(stripes):
    report = tftune.audit(stripes, image_size=(32, 32), weights=None, verbose=False)
    assert any("not checked" in note for note in report.notes)


def test_a_folder_that_cannot_be_used_at_all_is_refused(tmp_path):
    with pytest.raises(DataError, match="must be an existing folder"):
        _audit(tmp_path / "nowhere")


def test_arrays_are_audited_and_cleaned_too():
    crops = [np.asarray(crop) for crop in _crops("chelsea", 12) + _crops("coffee", 12)]
    images = [*crops, crops[0], np.zeros((64, 64, 3), np.uint8)]
    labels = [0] * 12 + [1] * 12 + [1, 1]
    data = tftune.load_image_arrays(
        images,
        labels,
        ["cat", "cup"],
        split=["train"] * len(images),
        validation_share=0,
        test_share=0,
    )
    report = _audit(data)
    (conflict,) = report.of_kind("label_conflict")
    assert {example.path for example in conflict.examples} == {"image 0", "image 24"}
    assert len(report.of_kind("constant_image")) == 1
    assert len(data.drop(report.issues).train) == 23
    page = report._repr_html_()
    assert page.count("<img") == sum(len(issue.examples) for issue in report.issues) >= 3
    assert "no picture" not in page


def test_images_of_several_labels_conflict_only_if_the_sets_differ(folder):
    files = [str(folder / "coffee" / "00.png")] * 2 + [str(folder / "coffee" / "01.png")] * 2
    values = np.array([[1, 1], [1, 1], [1, 0], [1, 1]], np.float32)
    target = Target("tags", "multilabel", ("hot", "wet"), values)
    train = tftune.Split("train", ImageFiles(tuple(files)), (target,))
    data = tftune.Dataset(train, train.take([]), train.take([]))
    report = _audit(data)
    assert [len(issue.examples) for issue in report.of_kind("exact_duplicate")] == [2, 2]
    (conflict,) = report.of_kind("label_conflict")
    assert conflict.message == "2 identical images have different labels: hot, hot + wet."
