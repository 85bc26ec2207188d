"""A picture of what an augmentation does to one's own images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tftune.config.image_input import ImageInput
from tftune.data.augment import Augmentation, augmented_batches
from tftune.data.dataset import Dataset, Split
from tftune.data.pipeline import image_batches
from tftune.errors import DataError


def plot_augmentations(
    data: Dataset | Split,
    augmentation: str | Sequence[keras.layers.Layer] | Augmentation = "medium",
    num_examples: int = 4,
    num_views: int = 5,
    seed: int = 0,
    image_input: ImageInput | None = None,
) -> Any:
    """Draw some training images, each beside several augmented views of it.

    Args:
        data: a Dataset, of which the training images are shown, or a Split.
        augmentation: a policy's name, Keras layers, or an Augmentation.
        num_examples: how many images.
        num_views: how many views of each.
        seed: chooses the images and the views.
        image_input: the resize contract; 160 x 160 pixels by default.

    Returns:
        A matplotlib Figure.

    Raises:
        DataError: if there are no images.
        ConfigError: if it is no augmentation.
    """
    from matplotlib.figure import Figure

    chosen = Augmentation.of(augmentation)
    split = data.train if isinstance(data, Dataset) else data
    if not len(split):
        raise DataError(f"The {split.name} split is empty; there is nothing to draw.")
    contract = image_input or ImageInput((160, 160))
    order = np.random.default_rng(seed).permutation(len(split))[: max(1, num_examples)]
    shown = split.take(np.sort(order))

    def all_of(batches):
        return np.concatenate(list(batches)).round().astype(np.uint8)

    columns = [all_of(image_batches(shown.examples, contract))]
    for view in range(num_views):
        batches = augmented_batches(shown.examples, contract, chosen, seed, view)
        columns.append(all_of(batches))
    height, width = contract.image_size
    size = (1.5 * len(columns), 1.5 * len(shown) * height / width + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(shown), len(columns), squeeze=False)
    for column, images in enumerate(columns):
        for row, image in enumerate(images):
            axes = panels[row][column]
            axes.imshow(image, interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
            for spine in axes.spines.values():
                spine.set_visible(False)
            if row == 0:
                axes.set_title("original" if column == 0 else f"view {column}", fontsize=9)
            if column == 0 and split.task == "multiclass" and shown.labels[row] >= 0:
                axes.set_ylabel(split.class_names[shown.labels[row]], fontsize=9)
    figure.suptitle(f"Augmentation: {chosen.name}")
    return figure
