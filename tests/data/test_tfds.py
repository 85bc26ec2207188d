"""A dataset that TensorFlow Datasets wrote to disk is loaded with its own splits."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

import tftune
from tftune.data.image_files import as_png
from tftune.errors import DataError


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A tiny prepared dataset: 16 training and 6 test images, three kinds of labels."""
    folder = tmp_path_factory.mktemp("tfds")
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=["cat", "dog"]),
            "tags": tfds.features.Sequence(tfds.features.ClassLabel(names=["old", "wet", "x"])),
            "age": tfds.features.Scalar(np.float32),
        }
    )

    def examples(count, shift):
        for index in range(count):
            yield {
                "image": np.full((6 + index, 8, 3), 10 * index + shift, np.uint8),
                "label": index % 2,
                "tags": [0, 1] if index % 3 else [],
                "age": index / 2,
            }

    builder = tfds.dataset_builders.store_as_tfds_dataset(
        name="pets",
        version="1.0.0",
        features=features,
        split_datasets={
            "train": _dataset(features, examples(16, 0)),
            "test": _dataset(features, examples(6, 3)),
            "extra": _dataset(features, examples(2, 5)),
        },
        data_dir=folder,
        description="Tiny.",
    )
    return folder, builder


def _dataset(features, examples):
    import tensorflow as tf

    rows = list(examples)
    return tf.data.Dataset.from_generator(
        lambda: iter(rows), output_signature=features.get_tensor_spec()
    )


def test_its_own_splits_are_kept_and_validation_is_taken_from_train(prepared):
    data = tftune.load_tfds("pets", data_dir=prepared[0], label="label", download=False)
    assert data.class_names == ("cat", "dog")
    assert [len(split) for split in data.splits.values()] == [14, 2, 6]
    assert any("'extra'" in note for note in data.notes)
    assert data.source == "pets/1.0.0"
    assert data.test.examples.pixels(0)[0, 0].tolist()[0] in {3 + 10 * i for i in range(6)}


def test_a_prepared_folder_and_a_builder_are_the_same_data(prepared):
    by_name = tftune.load_tfds("pets", data_dir=prepared[0], label="label")
    by_folder = tftune.load_tfds(prepared[0] / "pets" / "1.0.0", label="label")
    by_builder = tftune.load_tfds(
        tfds.builder_from_directory(prepared[0] / "pets" / "1.0.0"), label="label"
    )
    assert by_name.fingerprint == by_folder.fingerprint == by_builder.fingerprint


def test_several_features_become_several_targets(prepared):
    data = tftune.load_tfds("pets", data_dir=prepared[0], label=["label", "tags", "age"])
    tasks = [(target.name, target.task) for target in data.train.targets]
    assert tasks == [("label", "multiclass"), ("tags", "multilabel"), ("age", "regression")]
    assert data.train.targets[1].class_names == ("old", "wet", "x")


def test_an_encoded_image_is_copied_as_it_is(prepared):
    data = tftune.load_tfds("pets", data_dir=prepared[0], label="label")
    pixels = data.test.examples.pixels(0)
    assert data.test.examples.encoded(0)[:8] == as_png(pixels)[:8]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name": "no_such_dataset_anywhere"}, "must be a dataset of TFDS"),
        ({"name": "pets", "label": "lable"}, "has no feature 'lable'.*Did you mean 'label'"),
        ({"name": "pets", "image": "picture"}, "has no feature 'picture'"),
        ({"name": ""}, "must be a dataset of TFDS"),
    ],
)
def test_an_unknown_dataset_or_feature_is_refused_in_a_sentence(prepared, arguments, sentence):
    with pytest.raises(DataError, match=sentence):
        tftune.load_tfds(**{"data_dir": prepared[0], "download": False, **arguments})


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    """A tiny prepared dataset of texts."""
    features = tfds.features.FeaturesDict(
        {
            "review": tfds.features.Text(),
            "title": tfds.features.Text(),
            "label": tfds.features.ClassLabel(names=["bad", "good"]),
        }
    )
    rows = [{"review": f"naïve {i}", "title": f"t{i}", "label": i % 2} for i in range(12)]
    return tfds.dataset_builders.store_as_tfds_dataset(
        name="reviews",
        version="1.0.0",
        features=features,
        split_datasets={"train": _dataset(features, rows), "test": _dataset(features, rows[:4])},
        data_dir=tmp_path_factory.mktemp("tfds"),
        description="Tiny.",
    )


def test_texts_and_pairs_of_texts_are_loaded_too(reviews):
    data = tftune.load_tfds(reviews, text="review")
    assert [len(split) for split in data.splits.values()] == [10, 2, 4]
    assert set(data.test.examples.columns[0]) == {f"naïve {i}" for i in range(4)}
    assert data.class_names == ("bad", "good")
    pairs = tftune.load_tfds(reviews, text=["title", "review"])
    assert {pairs.test.examples.text(i) for i in range(4)} == {
        (f"t{i}", f"naïve {i}") for i in range(4)
    }
    with pytest.raises(DataError, match="2 of that kind"):
        tftune.load_tfds(reviews)
