"""Views: which version of a training image or text each epoch sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tftune.config.image_input import ImageInput
from tftune.config.plan import Plan
from tftune.config.text_input import TextInput
from tftune.data.augment import Augmentation, augmented_batches, augmenter, mixer
from tftune.data.augment_texts import TextAugmentation, augmented_texts, text_augmenter


def pass_name(split: str, boundary: str, view: int = 0) -> str:
    """Name a pass over a split for people."""
    return f"cache {f'view {view + 1} of ' if view else ''}{split} at {boundary}"


@dataclass(frozen=True)
class Views:
    """The versions of a training example: 0 is what it is, all others are drawn at random.

    What is drawn is a function of the example's content, the seed and the number of the view, so a
    cached view, one drawn online and one drawn again after a kill are the same.

    Attributes:
        augmentation: the random changes.
        count: how many there are; 0 stands for a new one in every epoch.
        seed: another seed draws others.
    """

    augmentation: Augmentation | TextAugmentation
    count: int
    seed: int

    @classmethod
    def of_plan(cls, plan: Plan) -> Views | None:
        """Return the views a plan asks for; None where images stay as they are.

        Raises:
            ConfigError: if the plan's augmentation is none that tftune wrote.
        """
        asked = plan.augment
        if isinstance(asked, Mapping) and "drop" in asked:
            return cls(TextAugmentation.from_json(asked), plan.views, plan.seed)
        drawn = (
            Augmentation.from_json(asked) if isinstance(asked, Mapping) else Augmentation.of(asked)
        )
        return None if drawn.is_none else cls(drawn, plan.views, plan.seed)

    def for_epochs(self, epochs: int) -> int:
        """Return how many of the views are seen in so many epochs; at least one."""
        return max(1, min(self.count or epochs, epochs))

    def of_epoch(self, epoch: tf.Tensor) -> tf.Tensor:
        """Return the number of the view that an epoch sees, both int64."""
        return epoch % self.count if self.count else epoch

    def key(self, view: int) -> str:
        """Name a view in the cache by all that decides it but the image; "" is the image itself."""
        return f"{self.augmentation.fingerprint} {self.seed} {view}" if view else ""

    def batches(
        self, contract: ImageInput | TextInput, view: int
    ) -> Callable[[Any, int], tf.data.Dataset]:
        """Return what reads a view, for `boundary_activations`; `view` is 1 or more."""
        changes, seed = self.augmentation, self.seed
        if isinstance(changes, TextAugmentation):
            return lambda texts, size: augmented_texts(changes, texts, seed, view, size)
        assert isinstance(contract, ImageInput)
        return lambda examples, batch_size: augmented_batches(
            examples, contract, changes, seed, view, batch_size
        )

    def draw(self, examples: Any) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
        """Return a function from (input, index, epoch) to the view that the epoch sees."""
        changes = self.augmentation
        if isinstance(changes, TextAugmentation):
            text_of = text_augmenter(changes, examples, self.seed)
            return lambda text, index, epoch: text_of(index, self.of_epoch(epoch))
        drawn = augmenter(changes, examples, self.seed)

        def view_of(image: tf.Tensor, index: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
            view = self.of_epoch(epoch)
            return tf.cond(view == 0, lambda: image, lambda: drawn(image, index, view))

        return view_of

    def blend(
        self, num_classes: int
    ) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]] | None:
        """Return a graph function from (images, labels, step) to a blended batch, or None.

        Args:
            num_classes: how many classes int labels stand for; they come out as shares, shape
                (batch, num_classes). Labels of several classes an example have that shape before.
        """
        changes = self.augmentation
        if isinstance(changes, TextAugmentation) or changes.mix == "none":
            return None
        mix = mixer(changes, self.seed)

        def blended(
            images: tf.Tensor, labels: tf.Tensor, step: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor]:
            shares = tf.one_hot(labels, num_classes) if labels.dtype.is_integer else labels
            return mix(images, shares, step)

        return blended
