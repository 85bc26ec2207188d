"""What a command builds its models on: backbones for images, encoders for texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import tftune

if TYPE_CHECKING:
    from tftune.builders.transfer_model import TransferModel
    from tftune.data.dataset import Dataset


def reads_texts(data: Dataset) -> bool:
    """Tell whether a dataset holds texts."""
    from tftune.data.text_examples import Texts

    return isinstance(data.train.examples, Texts)


def build_models(
    data: Dataset,
    *,
    backbones: Sequence[str],
    encoders: Sequence[str],
    weights: str,
    preprocessor: str | None,
    image_size: tuple[int, int] | None = None,
) -> list[TransferModel]:
    """Build a model on each network that suits the data.

    Args:
        data: images or texts.
        backbones: what to build on if they are images.
        encoders: what to build on if they are texts.
        weights: of the backbones: "imagenet", "none" or a file.
        preprocessor: of an encoder that needs one.
        image_size: (height, width) in pixels; None is each backbone's own.
    """
    if reads_texts(data):
        return [
            tftune.build_text_classifier(name, data, preprocessor=preprocessor) for name in encoders
        ]
    chosen = None if weights.lower() == "none" else weights
    return [
        tftune.build_image_classifier(name, data, image_size=image_size, weights=chosen)
        for name in backbones
    ]
