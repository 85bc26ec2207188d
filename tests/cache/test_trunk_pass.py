"""Activations are computed once an example, kept by content, and equal the network's own."""

import random
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from tftune.cache import shards as shards_module
from tftune.cache.activations import Activations
from tftune.cache.store import ActivationStore
from tftune.cache.trunk_pass import boundary_activations
from tftune.data.image_files import ImageFiles
from tftune.data.pipeline import image_batches
from tftune.errors import CacheError, CacheFullError, ConfigError


class CountingTrunk:
    """A trunk that knows how many examples it ran."""

    def __init__(self, trunk):
        self._trunk = trunk
        self.fingerprint = trunk.fingerprint
        self.ran = 0

    def __getattr__(self, name):
        return getattr(self._trunk, name)

    def forward(self, inputs):
        self.ran += len(np.unique(inputs.numpy().reshape(len(inputs), -1), axis=0))
        return self._trunk.forward(inputs)


@pytest.fixture
def store(tmp_path):
    return ActivationStore(tmp_path / "cache")


@pytest.fixture
def trunk(pretrained_model):
    return CountingTrunk(pretrained_model.cut("pooled")[0])


@pytest.fixture
def copied(stripes, tmp_path):
    """The training images under other names."""
    paths = []
    for index, path in enumerate(stripes.train.examples.paths):
        paths.append(str(tmp_path / f"{index}.png"))
        (tmp_path / f"{index}.png").write_bytes(open(path, "rb").read())
    return ImageFiles(tuple(paths))


def test_activations_are_the_trunks_output_in_order(pretrained_model, stripes, store):
    trunk, _ = pretrained_model.cut("block3b_add")
    cached = boundary_activations(trunk, stripes.train.examples, store=store)
    pixels = np.concatenate(list(image_batches(stripes.train.examples, trunk.contract)))
    np.testing.assert_allclose(cached, trunk.keras_model(pixels, training=False), atol=1e-4)


def test_the_second_pass_reads_the_cache(trunk, stripes, store):
    calls = []

    def count(done, total):
        calls.append((done, total))

    first = boundary_activations(trunk, stripes.train.examples, store=store, on_progress=count)
    assert calls[-1] == (18, 18)
    assert (first.report.computed, first.report.reused) == (18, 0)
    calls.clear()
    second = boundary_activations(trunk, stripes.train.examples, store=store, on_progress=count)
    assert calls == []
    assert (second.report.computed, second.report.reused) == (0, 18)
    np.testing.assert_array_equal(first, second)


def test_a_moved_weight_means_another_entry(small_model, stripes, store):
    before = boundary_activations(small_model.cut("pooled")[0], stripes.test.examples, store=store)
    kernel = small_model.keras_model.get_layer("top_conv").kernel
    kernel.assign(kernel * 2)
    after = boundary_activations(small_model.cut("pooled")[0], stripes.test.examples, store=store)
    assert not np.array_equal(before, after)


def test_subsets_and_other_orders_and_moved_files_compute_nothing(trunk, stripes, copied, store):
    everything = boundary_activations(trunk, stripes.train.examples, store=store)
    ran = trunk.ran
    order = np.random.default_rng(0).permutation(18)[:11]
    part = boundary_activations(trunk, copied.take(order), store=store)
    assert trunk.ran == ran
    np.testing.assert_array_equal(part, everything[order])


def test_one_changed_file_computes_one_row(trunk, copied, store):
    before = np.asarray(boundary_activations(trunk, copied, store=store))
    ran = trunk.ran
    with open(copied.paths[7], "rb+") as stream:
        other = open(copied.paths[0], "rb").read()
        stream.truncate()
        stream.write(other + b"\0")  # bytes after a PNG's end do not change its pixels
    changed = ImageFiles(copied.paths)
    after = np.asarray(boundary_activations(trunk, changed, store=store))
    assert trunk.ran == ran + 1
    same = np.arange(18) != 7
    np.testing.assert_array_equal(after[same], before[same])
    np.testing.assert_array_equal(after[7], before[0])


def test_equal_files_are_computed_once(trunk, stripes, store):
    twice = stripes.train.examples.take(np.array([0, 1, 0, 0, 1]))
    activations = boundary_activations(trunk, twice, store=store)
    assert trunk.ran == 2
    np.testing.assert_array_equal(activations[0], activations[3])


def test_views_and_dtypes_are_kept_apart(trunk, stripes, store):
    examples = stripes.test.examples

    def darker(chosen, batch_size):
        for pixels in image_batches(chosen, trunk.contract, batch_size):
            yield pixels * 0.5

    plain = boundary_activations(trunk, examples, store=store)
    dark = boundary_activations(trunk, examples, store=store, view="darker", batches=darker)
    half = boundary_activations(trunk, examples, "float16", store=store)
    assert trunk.ran == 9
    assert not np.array_equal(plain, dark)
    again = boundary_activations(trunk, examples, store=store, view="darker")
    np.testing.assert_array_equal(again, dark)
    assert half.dtype == np.float16
    # Rounding to 11 significant bits: 2^-11 relative, and 2^-25 absolute near zero.
    np.testing.assert_allclose(half, plain, rtol=2**-11, atol=2**-25)


def test_a_value_beyond_float16_is_an_error_that_names_float32(store):
    with pytest.raises(CacheError, match=r"reach 1e\+05.*65504.*float32"):
        store.open("trunk", "float16").writer().add(np.full((1, 4), 1e5), ["one"])


def test_an_unknown_dtype_is_refused(trunk, stripes, store):
    with pytest.raises(ConfigError, match="Did you mean 'float16'"):
        boundary_activations(trunk, stripes.test.examples, "float1", store=store)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda rows, index: rows.write_bytes(rows.read_bytes()[:50]),
        lambda rows, index: rows.write_bytes(rows.read_bytes()[:-9] + b"\7" * 9),
        lambda rows, index: rows.unlink(),
        lambda rows, index: index.write_text(index.read_text()[:40]),
        lambda rows, index: index.write_text("[]"),
        lambda rows, index: index.unlink(),
    ],
    ids=["short rows", "other bytes", "no rows", "short index", "wrong index", "no index"],
)
def test_a_damaged_shard_is_computed_again_and_the_others_are_not(trunk, stripes, store, spoil):
    store.shard_bytes = 1  # a shard a batch
    first = np.asarray(boundary_activations(trunk, stripes.train.examples, "float32", 6, store))
    ran = trunk.ran
    rows = sorted(store.root.rglob("*.npy"))[1]
    spoil(rows, rows.with_suffix(".json"))
    again = boundary_activations(trunk, stripes.train.examples, "float32", 6, store)
    assert trunk.ran == ran + 6
    np.testing.assert_array_equal(again, first)
    assert len(list(store.root.rglob("*.npy"))) == 3


def test_an_interrupted_pass_keeps_what_it_has(trunk, stripes, store):
    def stop(done, total):
        if done >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        boundary_activations(trunk, stripes.train.examples, "float32", 5, store, stop)
    ran = trunk.ran
    finished = boundary_activations(trunk, stripes.train.examples, "float32", 5, store)
    assert finished.report.computed == 18 - ran == 8


def test_a_full_disk_is_an_error_that_leaves_whole_shards_only(trunk, stripes, store, monkeypatch):
    store.shard_bytes = 1
    written = []
    write_rows = shards_module._write_rows

    def full_after_two(stream, rows):
        if len(written) == 2:
            stream.write(b"half")
            raise OSError(28, "No space left on device")
        written.append(stream)
        write_rows(stream, rows)

    monkeypatch.setattr(shards_module, "_write_rows", full_after_two)
    with pytest.raises(CacheFullError, match="cache='off'") as caught:
        boundary_activations(trunk, stripes.train.examples, "float32", 6, store)
    assert isinstance(caught.value, OSError)
    monkeypatch.undo()
    names = sorted(path.suffix for path in store.root.glob("*/float32/*"))
    assert names == [".json", ".json", ".npy", ".npy"]
    assert boundary_activations(trunk, stripes.train.examples, store=store).report.computed == 6


def test_no_examples_give_an_empty_array(trunk, stripes, store):
    empty = boundary_activations(trunk, stripes.train.examples.take(np.array([], int)), store=store)
    assert empty.shape == (0, 1280)
    assert np.asarray(empty).shape == (0, 1280)


def test_indexing_is_that_of_an_array(trunk, stripes, store):
    store.shard_bytes = 1
    cached = boundary_activations(trunk, stripes.train.examples, "float32", 5, store)
    assert isinstance(cached, Activations)
    array = np.array(cached)
    assert (len(cached), cached.shape, cached.dtype) == (18, array.shape, array.dtype)
    assert (cached.ndim, cached.size, cached.nbytes) == (array.ndim, array.size, array.nbytes)
    indices = np.array([17, 0, 3, 3, 4, 5, -1])
    mask = np.arange(18) % 3 == 0
    for key in (0, -1, indices, mask, slice(3, 12), slice(None, None, -2), [2, 1], (indices, 5)):
        np.testing.assert_array_equal(cached[key], array[key])
    np.testing.assert_array_equal(np.asarray(cached, dtype=np.float64), array.astype(np.float64))
    with pytest.raises(IndexError):
        cached[18]


def test_rows_that_vanish_while_in_use_are_an_error_in_words(trunk, stripes, store):
    cached = boundary_activations(trunk, stripes.test.examples, store=store)
    for path in store.root.rglob("*.npy"):
        path.unlink()
    with pytest.raises(CacheError, match="Run again"):
        cached[0]


@pytest.mark.parametrize("engine", ["tensorflow", "litert"])
def test_a_row_does_not_depend_on_the_rows_computed_with_it(
    pretrained_model, stripes, tmp_path, engine
):
    """Bit for bit, or a pass that was killed would go on with other numbers."""
    trunk, _ = pretrained_model.cut("pooled")
    results = [
        np.asarray(
            boundary_activations(
                trunk,
                stripes.train.examples,
                batch_size=size,
                store=ActivationStore(tmp_path / str(size)),
                engine=engine,
            )
        )
        for size in (18, 5, 1)
    ]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


# A real pass, slowed down so that a kill meets it between and inside its thirty shards.
PASS = """
import os, sys, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import keras, numpy as np, tftune
from tftune.cache.store import ActivationStore
from tftune.cache.trunk_pass import boundary_activations
folder, cache, output, pause = sys.argv[1:]
data = tftune.load_image_folder(folder, validation_share=0, test_share=0)
keras.utils.set_random_seed(1)
model = tftune.build_image_classifier(
    "efficientnet_lite0", data, image_size=(32, 32), weights=None
)
print("ready", flush=True)
result = boundary_activations(
    model.cut("pooled")[0], data.train.examples, batch_size=4,
    store=ActivationStore(cache, shard_bytes=1), on_progress=lambda *_: time.sleep(float(pause)),
)
np.save(output, np.asarray(result))
"""


@pytest.mark.slow
def test_a_pass_killed_again_and_again_ends_in_the_same_bits(tmp_path):
    folder = tmp_path / "images"
    noise = np.random.default_rng(0)
    for index in range(120):
        place = folder / str(index % 2)
        place.mkdir(parents=True, exist_ok=True)
        pixels = noise.integers(0, 256, (32, 32, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{index}.png")
    generator = random.Random(0)

    def run(cache, output, pause):
        program = [sys.executable, "-c", PASS, folder, tmp_path / cache, tmp_path / output, pause]
        return subprocess.Popen(
            list(map(str, program)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    kills = 0
    for _ in range(5):
        process = run("killed", "killed.npy", 0.1)
        assert process.stdout.readline() == "ready\n"
        time.sleep(generator.uniform(1, 5))
        kills += process.poll() is None
        process.kill()
        process.communicate()
    assert kills
    for cache in ("killed", "whole"):
        process = run(cache, f"{cache}.npy", 0)
        process.communicate(timeout=300)
        assert process.returncode == 0
    killed, whole = (np.load(tmp_path / name) for name in ("killed.npy", "whole.npy"))
    assert killed.shape == (120, 1280)
    np.testing.assert_array_equal(killed, whole)


def test_another_way_of_resizing_or_decoding_is_another_place_in_the_cache(
    small_model, stripes, monkeypatch
):
    trunk, _ = small_model.cut("pooled")
    old = trunk.fingerprint
    files = ImageFiles(stripes.train.examples.paths[:1])
    old_file = files.fingerprints[0]
    monkeypatch.setattr("tftune.builders.trunk.RESIZING", -1)
    monkeypatch.setattr("tftune.data.image_files.DECODING", -1)
    assert small_model.cut("pooled")[0].fingerprint != old
    assert ImageFiles(files.paths).fingerprints[0] != old_file
