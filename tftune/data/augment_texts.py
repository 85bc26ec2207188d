"""Changing texts at random: words left out, neighbours swapped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tftune.data.text_examples import Texts
from tftune.errors import ConfigError


@dataclass(frozen=True)
class TextAugmentation:
    """How training texts are changed at random.

    What is drawn is a function of the text, the seed and the number of the view alone. At least one
    word stays, and the words of a changed text stand one space apart.

    Attributes:
        drop: share of the words that are left out, in [0, 1).
        swap: share of the words that change places with the next one, in [0, 1).

    References:
        Wei and Zou 2019, "EDA", https://arxiv.org/abs/1901.11196.
    """

    drop: float = 0.1
    swap: float = 0.05

    def __post_init__(self) -> None:
        for name in ("drop", "swap"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ConfigError(f"`{name}` must be in [0, 1). Received: {value!r}.")

    @property
    def name(self) -> str:
        """What to call it."""
        return f"words (drop {self.drop:g}, swap {self.swap:g})"

    @property
    def mix(self) -> str:
        """Texts are not blended."""
        return "none"

    @property
    def is_none(self) -> bool:
        """Whether texts stay as they are."""
        return self.drop == self.swap == 0

    @property
    def fingerprint(self) -> str:
        """What a cached view depends on."""
        return f"words 1 {self.drop} {self.swap}"

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` takes, with the name beside it."""
        return {"name": self.name, **asdict(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TextAugmentation:
        """Rebuild what `to_json` wrote."""
        return cls(float(value["drop"]), float(value["swap"]))

    def view(self, text: str, digest: str, seed: int, view: int) -> str:
        """Draw a view of a text.

        Args:
            text: the text.
            digest: hexadecimal digits that stand for the example.
            seed: another seed draws others.
            view: its number; 0 is the text itself.
        """
        words = text.split()
        if view == 0 or not words:
            return text
        generator = np.random.default_rng([int(digest[:16], 16), seed, view])
        kept = generator.random(len(words)) >= self.drop
        kept[generator.integers(len(words))] |= not kept.any()
        words = [word for word, keep in zip(words, kept, strict=True) if keep]
        place = 0
        while place + 1 < len(words):
            if generator.random() < self.swap:
                words[place], words[place + 1] = words[place + 1], words[place]
                place += 1
            place += 1
        return " ".join(words)


def text_augmenter(
    augmentation: TextAugmentation, examples: Texts, seed: int
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return a function for `tf.data` from an example's index and a view's number to the view.

    Args:
        augmentation: the changes.
        examples: what the indices refer to; a pair's texts are changed each by itself.
        seed: another seed draws others.
    """

    def draw(index: np.ndarray, view: np.ndarray) -> bytes | np.ndarray:
        place, number = int(index), int(view)
        digest = examples.fingerprints[place]
        row = [
            augmentation.view(column[place], digest, seed + part, number).encode("utf-8", "replace")
            for part, column in enumerate(examples.columns)
        ]
        return row[0] if len(row) == 1 else np.array(row, object)

    shape = () if examples.num_texts == 1 else (examples.num_texts,)
    return lambda index, view: tf.ensure_shape(
        tf.numpy_function(draw, [index, view], tf.string), shape
    )


def augmented_texts(
    augmentation: TextAugmentation, examples: Texts, seed: int, view: int, batch_size: int
) -> tf.data.Dataset:
    """Read a view of all examples in order, in batches of strings."""
    draw = text_augmenter(augmentation, examples, seed)
    indices = tf.data.Dataset.range(len(examples))
    return indices.map(lambda index: draw(index, view)).batch(batch_size).prefetch(2)
