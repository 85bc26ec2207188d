"""Images in memory, from NumPy or from tf.data, work like images on disk."""

import numpy as np
import pytest
import tensorflow as tf

import tftune
from tftune.config.image_input import ImageInput
from tftune.data.decode import decode_bytes
from tftune.data.image_files import ImageFiles, as_png
from tftune.data.pipeline import image_batches
from tftune.errors import DataError


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (20, 10, 12, 3), dtype=np.uint8)


LABELS = np.arange(20) % 2


def test_arrays_are_read_like_files(images):
    data = tftune.load_image_arrays(images, LABELS, ["even", "odd"])
    assert data.class_names == ("even", "odd")
    assert sum(len(split) for split in data.splits.values()) == 20
    contract = ImageInput((5, 6))
    for split in data.splits.values():
        batches = np.concatenate(list(image_batches(split.examples, contract, 3)))
        for index, place in enumerate(split.examples.chosen):
            assert place % 2 == split.labels[index]
            expected = tf.image.resize(images[place], (5, 6), antialias=True)
            np.testing.assert_array_equal(batches[index], expected)
    np.testing.assert_array_equal(
        decode_bytes(data.train.examples.encoded(0)), data.train.examples.pixels(0)
    )


def test_a_whole_model_trains_from_arrays(images):
    data = tftune.load_image_arrays(images, LABELS)
    model = tftune.build_image_classifier(
        "efficientnet_lite0", data, image_size=(32, 32), weights=None
    )
    phase = tftune.Phase("feature_extraction", "none", epochs=1, learning_rate=1e-3)
    run = tftune.fine_tune(model, data, tftune.Plan((phase,)), verbose=False)
    assert len(run.history) == 1


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x.astype(np.float32) / 255,
        lambda x: x.astype(np.float64),
        lambda x: x.astype(np.uint16) * 257,
        lambda x: list(x),
        lambda x: x.astype(np.int64),
        lambda x: np.concatenate([x, np.full((*x.shape[:3], 1), 255, np.uint8)], axis=3),
    ],
    ids=["[0, 1]", "float", "16 bit", "list", "int", "alpha"],
)
def test_every_usual_type_of_pixels_is_the_same_image(images, convert):
    data = tftune.load_image_arrays(convert(images), LABELS)
    assert data.fingerprint == tftune.load_image_arrays(images, LABELS).fingerprint


def test_gray_images_and_images_of_many_sizes_are_taken():
    sizes = [np.full((4 + i, 5), 9 * i, np.uint8) for i in range(8)]
    data = tftune.load_image_arrays(sizes, list("aabbaabb"))
    assert data.class_names == ("a", "b")
    assert data.train.examples.pixels(0).shape[1:] == (5, 3)


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        (np.eye(2)[LABELS], "multiclass"),
        (np.stack([LABELS, LABELS], 1), "multilabel"),
        (np.linspace(0, 9, 20), "regression"),
        (np.random.default_rng(0).normal(size=(20, 3)), "regression"),
        ([str(label) for label in LABELS], "multiclass"),
    ],
)
def test_the_task_follows_from_the_labels(images, labels, task):
    data = tftune.load_image_arrays(images, labels)
    assert data.train.task == task


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"images": np.zeros((20, 3))}, "`images` must have shape"),
        ({"images": np.zeros((0, 4, 4, 3), np.uint8)}, "not be empty"),
        ({"images": 3}, "must be an array"),
        ({"images": [np.zeros((4, 4, 3)), np.zeros((4, 4, 7))]}, r"Image 1 must have shape"),
        ({"images": [np.zeros((4, 4)), np.full((4, 4), np.nan)]}, "Image 1 must hold finite"),
        ({"images": [np.zeros((4, 4)), np.full((4, 4), -3.0)]}, r"Image 1 .* in \[0, 1\]"),
        ({"images": [np.zeros((4, 4)), np.full((4, 4), "a")]}, "Image 1 must hold numbers"),
        ({"labels": LABELS[:5]}, "one entry an image. Received: 5"),
        ({"labels": LABELS + 7, "class_names": ["a", "b"]}, r"in \[0, 2\)"),
        ({"labels": LABELS * 0}, "at least 2 different"),
        ({"labels": LABELS + 0.5, "task": "multiclass"}, "whole numbers"),
        ({"labels": [[1], [2, 3]]}, "cannot be read as an array"),
        ({"labels": np.full(20, np.inf)}, "finite"),
        ({"split": ["train"] * 19 + ["tset"]}, "Did you mean 'test'"),
        ({"groups": [1, 2]}, "`groups` must have one entry"),
    ],
)
def test_unusable_arrays_are_refused_in_a_sentence(images, change, sentence):
    with pytest.raises(DataError, match=sentence):
        tftune.load_image_arrays(**{"images": images, "labels": LABELS, **change})


class TestTensorFlowDatasets:
    def test_batched_plain_and_encoded_examples_are_the_same_data(self, images):
        plain = tf.data.Dataset.from_tensor_slices((images, LABELS))
        encoded = tf.data.Dataset.from_tensor_slices(([as_png(i) for i in images], LABELS))
        expected = tftune.load_image_arrays(images, LABELS).fingerprint
        for dataset in (plain, plain.batch(6), encoded):
            data = tftune.load_tf_dataset(dataset)
            assert data.fingerprint == expected
            assert "kept in memory" in str(data)

    def test_what_does_not_fit_in_memory_is_kept_on_disk(self, images):
        dataset = tf.data.Dataset.from_tensor_slices((images, LABELS))
        data = tftune.load_tf_dataset(dataset, memory_limit=2000)
        assert isinstance(data.train.examples, ImageFiles)
        assert "kept in /" in " ".join(data.notes)
        held = tftune.load_tf_dataset(dataset)
        for index in range(len(held.train)):
            np.testing.assert_array_equal(
                data.train.examples.pixels(index), held.train.examples.pixels(index)
            )

    def test_given_splits_are_kept(self, images):
        dataset = tf.data.Dataset.from_tensor_slices((images, LABELS))
        data = tftune.load_tf_dataset(
            dataset.take(12), ["a", "b"], validation=dataset.skip(12).take(4), test=dataset.skip(16)
        )
        assert [len(split) for split in data.splits.values()] == [12, 4, 4]

    @pytest.mark.parametrize(
        ("make", "sentence"),
        [
            (lambda d: d.repeat(), "never ends"),
            (lambda d: d.map(lambda image, label: image), r"\(image, label\)"),
            (lambda d: d.take(0), "at least one example"),
            (lambda d: [1, 2], "must be a tf.data.Dataset"),
            (lambda d: d.map(lambda i, n: (tf.io.decode_png(b"broken"), n)), "failed while"),
            (lambda d: d.map(lambda i, n: (tf.constant(b"broken"), n)), "Image 0 cannot be decod"),
        ],
    )
    def test_an_unusable_dataset_is_refused_in_a_sentence(self, images, make, sentence):
        dataset = tf.data.Dataset.from_tensor_slices((images, LABELS))
        with pytest.raises(DataError, match=sentence):
            tftune.load_tf_dataset(make(dataset))
