"""Activations are computed once, kept by content, and equal the network's own."""

import numpy as np

from tftune.cache.store import ActivationStore
from tftune.cache.trunk_pass import boundary_activations
from tftune.data.dataset import ImageFiles
from tftune.data.pipeline import image_batches


def test_activations_are_the_trunks_output_in_order(small_model, stripes, tmp_path):
    trunk, _ = small_model.cut("block3b_add")
    cached = boundary_activations(trunk, stripes.train.examples, store=ActivationStore(tmp_path))
    pixels = np.concatenate(list(image_batches(stripes.train.examples, small_model.image_input)))
    np.testing.assert_allclose(cached, trunk.keras_model(pixels, training=False), atol=1e-5)


def test_the_second_pass_reads_the_cache(small_model, stripes, tmp_path):
    trunk, _ = small_model.cut("pooled")
    store = ActivationStore(tmp_path)
    calls = []

    def count(done, total):
        calls.append((done, total))

    first = boundary_activations(trunk, stripes.train.examples, store=store, on_progress=count)
    assert calls[-1] == (18, 18)
    calls.clear()
    second = boundary_activations(trunk, stripes.train.examples, store=store, on_progress=count)
    assert calls == []
    np.testing.assert_array_equal(first, second)


def test_a_moved_weight_means_another_cache_entry(small_model, stripes, tmp_path):
    store = ActivationStore(tmp_path)
    before = boundary_activations(small_model.cut("pooled")[0], stripes.test.examples, store=store)
    kernel = small_model.keras_model.get_layer("top_conv").kernel
    kernel.assign(kernel * 2)
    after = boundary_activations(small_model.cut("pooled")[0], stripes.test.examples, store=store)
    assert not np.array_equal(before, after)


def test_a_moved_file_with_the_same_content_is_found(small_model, stripes, tmp_path):
    store = ActivationStore(tmp_path / "cache")
    trunk, _ = small_model.cut("pooled")
    boundary_activations(trunk, stripes.test.examples, store=store)
    moved = []
    for index, path in enumerate(stripes.test.examples.paths):
        moved.append(str(tmp_path / f"{index}.png"))
        (tmp_path / f"{index}.png").write_bytes(open(path, "rb").read())
    found = store.path(trunk.fingerprint, ImageFiles(tuple(moved)).fingerprints, "float32")
    assert found.exists()


def test_a_damaged_entry_is_computed_again(small_model, stripes, tmp_path):
    store = ActivationStore(tmp_path)
    trunk, _ = small_model.cut("pooled")
    first = np.array(boundary_activations(trunk, stripes.test.examples, store=store))
    path = store.path(trunk.fingerprint, stripes.test.examples.fingerprints, "float32")
    path.write_bytes(path.read_bytes()[:50])
    again = boundary_activations(trunk, stripes.test.examples, store=store)
    np.testing.assert_array_equal(first, again)
