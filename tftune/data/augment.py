"""Augmentation: random changes of training images, in the pipeline and never in an export.

What happens to an example is a pure function of its content, a seed and the number of the view, so
that views can be drawn beforehand, cached, and drawn again after an interruption. The layers are
Keras' own; only where their random numbers come from is replaced.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tftune.config.image_input import ImageInput
from tftune.config.plan import POLICIES as POLICIES
from tftune.data.examples import Examples
from tftune.data.resize import resize_images
from tftune.errors import ConfigError, check_choice

MIXES = ("none", "mixup", "cutmix")

_POSTERIZED_BITS = 4
_MOST_ROTATION = 30 / 360

Draw = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


@keras.saving.register_keras_serializable(package="tftune")
class ModerateRandAugment(keras.layers.RandAugment):
    """Keras' RandAugment with the published ranges of two of its operations.

    With a factor of 0.3, Keras keeps two bits of each colour, which leaves nothing to recognise (a
    smaller factor keeps even fewer), and rotates by up to 108 degrees. Keras 3.10 also draws the
    operations once for all images, when a graph is traced; here each image gets its own.

    References:
        Cubuk et al. 2019, https://arxiv.org/abs/1909.13719: rotation up to 30 degrees and at least
        four bits.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.random_posterization = keras.layers.RandomPosterization(
            factor=_POSTERIZED_BITS, value_range=self.value_range, seed=self.seed
        )
        self.random_rotation = keras.layers.RandomRotation(
            _MOST_ROTATION, interpolation=self.interpolation, seed=self.seed
        )

    def get_random_transformation(
        self, data: Any, training: bool = True, seed: Any = None
    ) -> dict[str, Any] | None:
        """Draw which operations are applied, in which order, and how much of every one."""
        if not training:
            return None
        layers = [getattr(self, name) for name in self._AUGMENT_LAYERS]
        own = self._get_seed_generator(self.backend._backend)
        chosen = self.backend.random.randint((self.num_ops,), 0, len(layers), seed=own)
        drawn = [layer.get_random_transformation(data, training, seed=own) for layer in layers]
        return {"chosen": chosen, "drawn": drawn}

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        """Apply the operations that were drawn to images, shape (..., height, width, 3)."""
        images = self.backend.cast(images, self.compute_dtype)
        if not training:
            return images
        layers = [getattr(self, name) for name in self._AUGMENT_LAYERS]
        for place in range(self.num_ops):
            number = transformation["chosen"][place]
            for i, (layer, drawn) in enumerate(zip(layers, transformation["drawn"], strict=True)):
                changed = layer.transform_images(images, drawn)
                images = self.backend.numpy.where(number == i, changed, images)
        return images


@dataclass(frozen=True)
class Augmentation:
    """Which random changes are made; plain data, so that it can be recorded and compared.

    Attributes:
        name: a policy's name, or "custom".
        layers: Keras configurations of the layers, in the order they are applied.
        mix: "none", "mixup" or "cutmix": how examples of a batch are blended, labels included.
        mix_alpha: parameter of the Beta distribution of the blend; more blends more.
    """

    name: str = "none"
    layers: tuple[Mapping[str, Any], ...] = ()
    mix: str = "none"
    mix_alpha: float = 0.2

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        check_choice("mix", self.mix, MIXES)
        if not self.mix_alpha > 0:
            raise ConfigError(f"`mix_alpha` must be above 0. Received: {self.mix_alpha!r}.")

    @classmethod
    def of(
        cls,
        augmentation: str | Sequence[keras.layers.Layer] | Augmentation | None,
        mix: str = "none",
        mix_alpha: float = 0.2,
    ) -> Augmentation:
        """Make an Augmentation from what a caller may give.

        Args:
            augmentation: "none"; "light" (mirroring, small crops), "medium" (also rotation,
                brightness, contrast, colour), "strong" (also RandAugment); or Keras layers that
                take float32 images in [0, 255] and keep their size. All policies mirror left and
                right: give layers of your own where that changes the class, as with text.
            mix: "none", "mixup" or "cutmix".
            mix_alpha: parameter of the Beta distribution of the blend.

        Raises:
            ConfigError: if it is no policy, or a layer cannot be recorded.
        """
        if isinstance(augmentation, Augmentation):
            return augmentation
        if augmentation is None or isinstance(augmentation, str):
            name = augmentation or "none"
            check_choice("augmentation", name, POLICIES, "Or give a list of Keras layers.")
            return cls(name, tuple(map(_config_of, _policy(name))), mix, mix_alpha)
        layers = list(augmentation)
        for layer in layers:
            if not isinstance(layer, keras.layers.Layer):
                raise ConfigError(
                    "`augmentation` must be a policy's name or a list of Keras layers. "
                    f"Received in the list: {type(layer).__name__}."
                )
        return cls("custom", tuple(map(_config_of, layers)), mix, mix_alpha)

    @property
    def is_none(self) -> bool:
        """Whether images stay as they are."""
        return not self.layers and self.mix == "none"

    @property
    def fingerprint(self) -> str:
        """A digest of everything that decides what is drawn, but for the seed."""
        content = json.dumps(self.to_json(), sort_keys=True).encode()
        return hashlib.blake2b(content, digest_size=16).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {
            "name": self.name,
            "layers": [dict(layer) for layer in self.layers],
            "mix": self.mix,
            "mix_alpha": self.mix_alpha,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Augmentation:
        """Rebuild what `to_json` wrote.

        Raises:
            ConfigError: if a field is unknown or invalid.
        """
        try:
            return cls(**value)
        except TypeError as error:
            raise ConfigError(f"This is no augmentation that tftune wrote: {error}.") from error

    def build_layers(self) -> list[keras.layers.Layer]:
        """Make new Keras layers.

        Raises:
            ConfigError: if a layer of the caller's own is not registered with Keras.
        """
        try:
            return [keras.saving.deserialize_keras_object(dict(layer)) for layer in self.layers]
        except (TypeError, ValueError) as error:
            raise ConfigError(
                "An augmentation layer cannot be made from its configuration. Decorate its class "
                f"with keras.saving.register_keras_serializable() and give it get_config. {error}"
            ) from error


def augmenter(augmentation: Augmentation, examples: Examples, seed: int) -> Draw:
    """Return a graph function that draws a view of one example.

    Args:
        augmentation: the changes; mixing is not applied here, see `mixer`.
        examples: the examples that indices refer to.
        seed: another seed draws other views.

    Returns:
        From (image, index, view) to an image: float32, shape (height, width, 3) in and out, in
        [0, 255]; index and view int64 scalars. The same content, seed and view give the same image
        whatever the order, the batch or the other examples.
    """
    layers = augmentation.build_layers()
    seeds = tf.constant(_content_seeds(examples))

    def draw(image: tf.Tensor, index: tf.Tensor, view: tf.Tensor) -> tf.Tensor:
        if not layers:
            return image
        own = tf.random.experimental.stateless_fold_in(seeds[index], seed)
        own = tf.random.experimental.stateless_fold_in(own, tf.cast(view, tf.int32))
        drawn = image
        _take_randomness_from(layers, own)
        for layer in layers:
            drawn = tf.cast(layer(drawn, training=True), tf.float32)
        return tf.ensure_shape(tf.clip_by_value(drawn, 0.0, 255.0), image.shape)

    return draw


def augmented_batches(
    examples: Examples,
    image_input: ImageInput,
    augmentation: Augmentation,
    seed: int,
    view: int,
    batch_size: int = 32,
) -> tf.data.Dataset:
    """Read, resize and augment images in order.

    Args:
        examples: the images; reorder them with `take` first to shuffle.
        image_input: the resize contract; images are changed after they are resized.
        augmentation: the changes; mixing is not applied.
        seed: another seed draws other views.
        view: which of the drawn views, from 0; each is another image of the same example.
        batch_size: images a batch; the last batch may be smaller. It does not change any image.

    Returns:
        Dataset of float32 batches, shape (batch, height, width, 3), RGB in [0, 255].
    """
    pixels_of = examples.reader(image_input.background)
    draw = augmenter(augmentation, examples, seed)

    def read(index: tf.Tensor) -> tf.Tensor:
        image = resize_images(pixels_of(index), image_input)
        return draw(image, index, tf.constant(view, tf.int64))

    indices = tf.data.Dataset.range(len(examples))
    images = indices.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return images.batch(batch_size).prefetch(2)


def mixer(
    augmentation: Augmentation, seed: int
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Return a graph function that blends the examples of a batch with each other.

    Args:
        augmentation: says how, by `mix` and `mix_alpha`.
        seed: another seed blends otherwise.

    Returns:
        From (images, labels, step) to (images, labels): images float32, shape (batch, height,
        width, 3); labels float32, shape (batch, num_classes), one-hot or 0/1 on the way in,
        shares on the way out; step an int64 scalar that says which batch it is.

    References:
        Zhang et al. 2018, https://arxiv.org/abs/1710.09412 (MixUp);
        Yun et al. 2019, https://arxiv.org/abs/1905.04899 (CutMix).
    """
    kinds = {"mixup": lambda: keras.layers.MixUp(alpha=augmentation.mix_alpha)}
    kinds["cutmix"] = lambda: keras.layers.CutMix(factor=augmentation.mix_alpha)
    layer = kinds[augmentation.mix]() if augmentation.mix != "none" else None

    def mix(images: tf.Tensor, labels: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if layer is None:
            return images, labels
        own = tf.stack([tf.constant(seed % 2**31, tf.int32), tf.cast(step, tf.int32)])
        _take_randomness_from([layer], own)
        mixed = layer({"images": images, "labels": tf.cast(labels, tf.float32)}, training=True)
        return tf.cast(mixed["images"], tf.float32), tf.cast(mixed["labels"], tf.float32)

    return mix


def _policy(name: str) -> list[keras.layers.Layer]:
    if name == "none":
        return []
    layers = keras.layers
    # Zooming in and shifting is what cropping at random and resizing back does.
    shift, zoom = {"light": (0.05, 0.1), "medium": (0.1, 0.2), "strong": (0.1, 0.3)}[name]
    chosen = [
        layers.RandomFlip("horizontal"),
        layers.RandomTranslation(shift, shift, fill_mode="reflect"),
        layers.RandomZoom((-zoom, zoom / 4), fill_mode="reflect"),
    ]
    if name == "light":
        return chosen
    turn = {"medium": 10 / 360, "strong": 15 / 360}[name]
    chosen.append(layers.RandomRotation(turn, fill_mode="reflect"))
    if name == "medium":
        colour = {"value_range": (0, 255)}
        return [
            *chosen,
            layers.RandomBrightness(0.15, **colour),
            layers.RandomContrast(0.15, **colour),
            layers.RandomSaturation((0.4, 0.6), **colour),
        ]
    return [*chosen, ModerateRandAugment(value_range=(0, 255), num_ops=2, factor=0.3)]


def _config_of(layer: keras.layers.Layer) -> dict[str, Any]:
    """Describe a layer as JSON holds it, without the name and seed that differ by process."""
    try:
        config = keras.saving.serialize_keras_object(layer)
        plain = json.loads(json.dumps(config))
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ConfigError(
            f"The augmentation layer {layer.name!r} cannot be recorded: {error} "
            "Give its class a get_config that returns plain numbers and text."
        ) from error
    plain.pop("build_config", None)
    inner = plain.get("config")
    if isinstance(inner, dict):
        inner.pop("name", None)
        if "seed" in inner:
            inner["seed"] = None
    return plain


def _content_seeds(examples: Examples) -> np.ndarray:
    """Two int32 an example, from its content."""
    digests = [bytes.fromhex(digest)[:8] for digest in examples.fingerprints]
    return np.frombuffer(b"".join(digests), dtype="<i4").reshape(-1, 2).astype(np.int32)


def _take_randomness_from(layers: Sequence[keras.layers.Layer], seed: tf.Tensor) -> None:
    """Make every seed generator of some layers count up from a tensor instead of a variable.

    Called while a graph is traced: the n-th number drawn in it comes from the seed and n.
    """
    counter = itertools.count()

    def following(ordered: bool = True) -> tf.Tensor:
        drawn = tf.random.experimental.stateless_fold_in(seed, next(counter))
        return tf.bitcast(drawn, tf.uint32)

    for layer in layers:
        for one in layer._flatten_layers():
            for generator in one._seed_generators:
                generator.next = following
