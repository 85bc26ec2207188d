"""Views are pure functions of content, seed and number, and are made by Keras' own layers."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tftune.config.image_input import ImageInput
from tftune.data.augment import POLICIES, Augmentation, augmented_batches, mixer
from tftune.data.pipeline import image_batches
from tftune.data.plot_augmentations import plot_augmentations
from tftune.errors import ConfigError

CONTRACT = ImageInput((32, 32))


def views(examples, augmentation, seed=0, view=0, batch_size=4):
    batches = augmented_batches(examples, CONTRACT, augmentation, seed, view, batch_size)
    return np.concatenate(list(batches))


@pytest.mark.parametrize("policy", ["light", "medium", "strong"])
def test_a_view_is_a_pure_function_of_content_seed_and_number(stripes, policy):
    examples = stripes.train.examples.take(np.arange(6))
    augmentation = Augmentation.of(policy)
    first = views(examples, augmentation)
    keras.utils.set_random_seed(99)
    # Another order, batch size and layers made anew: the same images.
    again = Augmentation.from_json(json.loads(json.dumps(augmentation.to_json())))
    backwards = views(examples.take(np.arange(6)[::-1]), again, batch_size=5)
    np.testing.assert_array_equal(backwards[::-1], first)
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 255


def test_views_seeds_and_examples_differ(stripes):
    examples = stripes.train.examples.take(np.arange(8))
    augmentation = Augmentation.of("light")
    plain = np.concatenate(list(image_batches(examples, CONTRACT)))
    drawn = [
        views(examples, augmentation),
        views(examples, augmentation, view=1),
        views(examples, augmentation, seed=1),
    ]
    for one, other in [(0, 1), (0, 2), (1, 2)]:
        assert (np.abs(drawn[one] - drawn[other]).max(axis=(1, 2, 3)) > 1).all()
    assert (np.abs(drawn[0] - plain).max(axis=(1, 2, 3)) > 1).all()


def test_none_leaves_images_exactly_as_they_are(stripes):
    examples = stripes.test.examples
    plain = np.concatenate(list(image_batches(examples, CONTRACT)))
    np.testing.assert_array_equal(views(examples, Augmentation.of("none")), plain)
    assert Augmentation.of(None).is_none


def test_layers_of_ones_own_are_used(stripes):
    examples = stripes.test.examples
    plain = np.concatenate(list(image_batches(examples, CONTRACT)))
    flipped = views(examples, Augmentation.of([keras.layers.RandomFlip("vertical", seed=7)]))
    for drawn, image in zip(flipped, plain, strict=True):
        same = np.array_equal(drawn, image) or np.array_equal(drawn, image[::-1])
        assert same
    brighter = Augmentation.of([keras.layers.Rescaling(1, offset=300)])
    assert (views(examples, brighter) == 255).all()


def test_the_fingerprint_follows_the_layers_and_not_their_names():
    def made(factor, name):
        return Augmentation.of([keras.layers.RandomZoom(factor, name=name, seed=3)]).fingerprint

    assert made(0.1, "a") == made(0.1, "b")
    assert made(0.1, "a") != made(0.2, "a")
    assert len({Augmentation.of(policy).fingerprint for policy in POLICIES}) == 4
    assert Augmentation.of("light").fingerprint != Augmentation.of("light", "mixup").fingerprint


@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_mixing_blends_images_and_labels_by_the_same_share(mix):
    # Example i is an image of the value 10 * i, so pixels tell what was blended.
    images = np.broadcast_to(10.0 * np.arange(8)[:, None, None, None], (8, 16, 16, 3))
    labels = np.eye(8, dtype=np.float32)
    blend = tf.function(mixer(Augmentation.of("none", mix, mix_alpha=1.0), seed=5))
    mixed, shares = blend(tf.constant(images, tf.float32), labels, tf.constant(0, tf.int64))
    np.testing.assert_allclose(shares.numpy().sum(1), 1, rtol=1e-5)
    expected = shares.numpy() @ (10.0 * np.arange(8))
    # CutMix rounds the sides of its box to whole pixels: a row and a column of 16 may be amiss.
    slack = 1e-3 if mix == "mixup" else 70 * (16 + 16) / 256
    np.testing.assert_allclose(mixed.numpy().mean(axis=(1, 2, 3)), expected, atol=slack)
    assert (shares.numpy().max(1) < 0.999).any()
    again = tf.function(mixer(Augmentation.of("none", mix, mix_alpha=1.0), seed=5))
    same, _ = again(tf.constant(images, tf.float32), labels, tf.constant(0, tf.int64))
    np.testing.assert_array_equal(same, mixed)
    other, _ = blend(tf.constant(images, tf.float32), labels, tf.constant(1, tf.int64))
    assert not np.array_equal(other, mixed)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("meduim",), "Did you mean 'medium'"),
        ((["flip"],), "list of Keras layers. Received in the list: str"),
        (("light", "mixap"), "Did you mean 'mixup'"),
        (("light", "mixup", 0), "`mix_alpha` must be above 0"),
        (([keras.layers.Lambda(lambda x: x)],), "cannot be"),
    ],
)
def test_an_unusable_augmentation_is_refused_in_a_sentence(arguments, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Augmentation.of(*arguments).build_layers()


def test_augmentations_can_be_seen(stripes):
    figure = plot_augmentations(stripes, "light", num_examples=2, num_views=3)
    assert len(figure.axes) == 2 * 4
    assert figure.axes[0].get_ylabel() in stripes.class_names
    assert figure.axes[1].get_title() == "view 1"
