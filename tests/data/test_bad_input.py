"""Every loader meets damaged, hostile and nonsensical input with a sentence that names it."""

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import tftune
from tftune.errors import TftuneError

quick = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::RuntimeWarning:PIL")


def encode(kind="PNG", side=12, **options):
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, body):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + body + chunk(b"IEND", b"")


ZEROS = zlib.compress(b"\0" * 1_000_000)
GIF = encode("GIF")
CORPUS = {
    "empty": b"",
    "zero bytes": b"\0" * 3000,
    "text": b"path,label\n",
    "a web page": b"<!DOCTYPE html><html><body>404</body></html>",
    "cut PNG": encode()[:200],
    "cut JPEG": encode("JPEG", 64)[:700],
    "cut GIF": GIF[: len(GIF) // 2],
    "cut WebP": encode("WEBP", 64)[:300],
    "cut TIFF": encode("TIFF", 64)[:90],
    "JPEG of a header alone": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "PNG bomb by its header": png(50_000, 50_000, chunk(b"IDAT", ZEROS)),
    "PNG of no size": png(0, 0, chunk(b"IDAT", ZEROS)),
    "PNG with too few pixels": png(4000, 4000, chunk(b"IDAT", zlib.compress(b"\0" * 50))),
    "PNG with a text bomb": png(
        4, 4, chunk(b"zTXt", b"a\0\0" + zlib.compress(b"a" * 100_000_000, 9)) + b"\0" * 30
    ),
    "GIF bomb by its header": GIF[:6] + struct.pack("<HH", 65535, 65535) + GIF[10:],
    "BMP bomb by its header": b"BM"
    + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, 60_000, -60_000, 1, 24, 0, 0, 0, 0, 0, 0),
    "TIFF that points at itself": b"II*\0\x08\0\0\0" + b"\x01\0" + b"\xff" * 12 + b"\x08\0\0\0",
    "EPS, which would run a program": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "a ZIP": b"PK\3\4" + b"\0" * 60,
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two classes of four good images, and every file of the corpus among them."""
    folder = tmp_path_factory.mktemp("bad") / "photos"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for index in range(4):
            (folder / name / f"{index}.png").write_bytes(encode(side=8 + index))
    for name, content in CORPUS.items():
        (folder / "a" / f"{name}.jpg").write_bytes(content)
    return folder


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
class TestCorpus:
    def test_a_folder_names_all_bad_files(self, photos):
        data = tftune.load_image_folder(photos, on_bad="skip")
        assert sum(len(split) for split in data.splits.values()) == 8
        assert len(data.skipped) == len(CORPUS)
        for name in CORPUS:
            assert sum(f"/{name}.jpg' cannot be decoded: " in line for line in data.skipped) == 1
        assert all(line.endswith((".", ".)")) for line in data.skipped)
        with pytest.raises(TftuneError, match=f"{len(CORPUS)} of {len(CORPUS) + 8} .* on_bad|on_b"):
            tftune.load_image_folder(photos)

    def test_a_table_names_all_bad_files(self, photos, tmp_path):
        rows = [{"path": str(p), "label": p.parent.name} for p in sorted(photos.rglob("*.*"))]
        table = tmp_path / "t.jsonl"
        table.write_text("\n".join(map(json.dumps, rows)))
        data = tftune.load_image_table(table, on_bad="skip")
        assert len(data.skipped) == len(CORPUS)

    @pytest.mark.parametrize("name", CORPUS)
    def test_encoded_examples_of_a_tf_dataset_are_named(self, name):
        examples = tf.data.Dataset.from_tensor_slices(([encode(), CORPUS[name]], [0, 1]))
        with pytest.raises(TftuneError, match="Image 1 cannot be decoded"):
            tftune.load_tf_dataset(examples)

    def test_predict_names_a_bad_file(self, photos, small_model):
        for name in ("empty", "cut JPEG", "GIF bomb by its header"):
            with pytest.raises(TftuneError, match=f"{name}.jpg' cannot be decoded"):
                small_model.predict(photos / "a" / f"{name}.jpg")


def test_images_that_cannot_be_used_are_left_out_of_arrays_and_listed():
    images = [np.full((8, 8, 3), 20 * index, np.uint8) for index in range(10)]
    images[3] = np.zeros((8, 8, 7))
    images[5] = np.full((8, 8), np.nan)
    images[8] = np.full((8, 8, 3), -1)
    labels = list("abababaabb")
    with pytest.raises(TftuneError, match="3 of 10 examples .* Image 3 must .* Image 8 must"):
        tftune.load_image_arrays(images, labels)
    split = ["train"] * 6 + ["val", "test"] * 2
    data = tftune.load_image_arrays(images, labels, split=split, on_bad="skip")
    assert [line.split(" must")[0] for line in data.skipped] == ["Image 3", "Image 5", "Image 8"]
    kept = [0, 1, 2, 4, 6, 7, 9]
    found = {
        int(part.examples.pixels(index)[0, 0, 0]) // 20: part.class_names[part.labels[index]]
        for part in data.splits.values()
        for index in range(len(part))
    }
    assert found == {index: labels[index] for index in kept}
    assert [len(part) for part in data.splits.values()] == [4, 1, 2]
    with pytest.raises(TftuneError, match="None of 2 images can be used. Image 0 must"):
        tftune.load_image_arrays(images[3:6:2], labels[:2], on_bad="skip")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("memory_limit", [1 << 30, 500])
def test_encoded_examples_that_cannot_be_decoded_are_left_out_of_a_tf_dataset(memory_limit):
    good = [encode(side=8 + index) for index in range(6)]
    bad = list(CORPUS.values())
    encoded = [*good[:3], *bad[3:], *good[3:], *bad[:3]]
    labels = [0, 1, 0, *[1] * len(bad[3:]), 1, 0, 1, 0, 0, 0]
    examples = tf.data.Dataset.from_tensor_slices((encoded, labels))
    data = tftune.load_tf_dataset(examples, on_bad="skip", memory_limit=memory_limit)
    assert len(data.skipped) == len(CORPUS)
    found = [
        (part.examples.pixels(index).shape[0], int(part.labels[index]))
        for part in data.splits.values()
        for index in range(len(part))
    ]
    assert sorted(found) == [(8, 0), (9, 1), (10, 0), (11, 1), (12, 0), (13, 1)]


class TestDamageFoundOnlyInUse:
    """Loaded without `check_files`, damage past the header shows when pixels are read."""

    @pytest.fixture
    def data(self, tmp_path):
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            for index in range(4):
                (tmp_path / name / f"{index}.jpg").write_bytes(encode("JPEG", 64))
        (tmp_path / "a" / "cut.jpg").write_bytes(CORPUS["cut JPEG"])
        data = tftune.load_image_folder(
            tmp_path, check_files=False, validation_share=0.3, test_share=0
        )
        assert not data.skipped
        return data

    @pytest.mark.parametrize("cache", ["disk", "off"])
    def test_training_names_the_file(self, data, small_model_of, cache):
        phase = tftune.Phase("feature_extraction", "none", 1, 1e-3)
        plan = tftune.Plan((phase,), cache=cache)
        with pytest.raises(TftuneError, match="cut.jpg' cannot be decoded.*check_files=True"):
            tftune.fine_tune(small_model_of(data), data, plan, verbose=False)

    def test_evaluating_names_the_file(self, data, small_model_of):
        place = next(part for part in data.splits.values() if "cut.jpg" in str(part.examples.names))
        with pytest.raises(TftuneError, match="cut.jpg' cannot be decoded"):
            tftune.evaluate(small_model_of(data), place)

    def test_a_file_that_is_gone_is_named(self, data, small_model_of):
        for path in data.train.examples.paths[:1]:
            Path(path).unlink()
        plan = tftune.Plan((tftune.Phase("feature_extraction", "none", 1, 1e-3),))
        with pytest.raises(TftuneError, match="cannot be read: No such file"):
            tftune.fine_tune(small_model_of(data), data, plan, verbose=False)


@pytest.fixture(scope="module")
def small_model_of():
    """One small network for all damaged data: its head has their two classes."""
    made = []

    def build(data):
        if not made:
            made.append(
                tftune.build_image_classifier(
                    "mobilenet_v3_small", data, image_size=(32, 32), weights=None
                )
            )
        return made[0]

    return build


@quick
@given(
    content=st.binary(max_size=300), suffix=st.sampled_from([".csv", ".tsv", ".jsonl", ".parquet"])
)
def test_any_bytes_as_a_table_end_in_a_sentence(content, suffix, tmp_path):
    table = tmp_path / f"table{suffix}"
    table.write_bytes(content)
    with pytest.raises(TftuneError):
        tftune.load_image_table(table)


cells = st.one_of(
    st.text(max_size=8),
    st.none(),
    st.integers(),
    st.floats(),
    st.lists(st.text(max_size=3), max_size=2),
)


@quick
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {}, optional={"path": cells, "label": cells, "split": cells, "group": cells}
        ),
        max_size=6,
    ),
    arguments=st.fixed_dictionaries(
        {},
        optional={
            "split": st.just("split"),
            "group": st.just("group"),
            "on_bad": st.sampled_from(["raise", "skip", "perhaps"]),
            "tasks": st.dictionaries(st.just("label"), st.sampled_from(["multilabel", "x"])),
        },
    ),
)
def test_any_rows_of_a_table_end_in_a_sentence(rows, arguments, tmp_path):
    table = tmp_path / "table.jsonl"
    table.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with pytest.raises(TftuneError):
        tftune.load_image_table(table, **arguments)


@quick
@given(
    labels=st.lists(cells, min_size=8, max_size=8),
    split=st.none()
    | st.lists(st.sampled_from(["train", "val", "test", ""]), min_size=8, max_size=8),
    tasks=st.sampled_from([None, "multiclass", "multilabel", "regression"]),
)
def test_any_labels_of_good_images_give_a_dataset_or_a_sentence(
    labels, split, tasks, photos, tmp_path
):
    paths = sorted(photos.rglob("[0-9].png"))
    rows = [{"path": str(p), "label": label} for p, label in zip(paths, labels, strict=True)]
    if split is not None:
        rows = [{**row, "part": part} for row, part in zip(rows, split, strict=True)]
    table = tmp_path / "table.jsonl"
    table.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    try:
        data = tftune.load_image_table(
            table,
            split=None if split is None else "part",
            tasks=None if tasks is None else {"label": tasks},
            on_bad="skip",
        )
    except TftuneError as error:
        assert str(error)
    else:
        count = sum(len(part) for part in data.splits.values())
        assert count + len(data.skipped) == 8
        assert str(data)


@quick
@given(
    labels=st.one_of(
        st.lists(st.integers(-3, 5), max_size=6),
        st.lists(st.floats(), max_size=6),
        st.lists(st.text(max_size=2), max_size=6),
        st.lists(st.lists(st.integers(0, 1), max_size=3), max_size=6),
        st.just(None),
    ),
    class_names=st.none() | st.lists(st.sampled_from("abc"), max_size=3),
    task=st.sampled_from([None, "multiclass", "multilabel", "regression", "?"]),
    shape=st.sampled_from([(6, 4, 4, 3), (6, 4, 4), (6, 4, 4, 1), (6, 4), (0,), (6, 4, 4, 2)]),
    dtype=st.sampled_from(["uint8", "float32", "int16", "bool", "complex64", "U3"]),
)
def test_any_arrays_give_a_dataset_or_a_sentence(labels, class_names, task, shape, dtype):
    try:
        data = tftune.load_image_arrays(np.ones(shape, dtype), labels, class_names, task=task)
    except TftuneError as error:
        assert str(error)
    else:
        assert sum(len(part) for part in data.splits.values()) == 6
        assert str(data)


@quick
@given(
    names=st.lists(
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=12), min_size=2, max_size=4
    )
)
def test_folders_of_any_names_give_a_dataset_or_a_sentence(names, tmp_path_factory):
    root = tmp_path_factory.mktemp("names")
    for name in names:
        try:
            (root / name).mkdir(exist_ok=True)
            for index in range(2):
                (root / name / f"{index}.png").write_bytes(encode())
        except (OSError, ValueError):
            continue  # the file system cannot hold such a name
    try:
        data = tftune.load_image_folder(root)
    except TftuneError as error:
        assert str(error)
    else:
        assert str(data)
