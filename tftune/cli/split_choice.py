"""Choosing a split of a folder by name, the same way in every command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tftune.errors import check_choice

if TYPE_CHECKING:
    from tftune.data.dataset import Split

SPLITS = ("train", "validation", "test", "all")


def check_split(split: str) -> None:
    """Raise ConfigError unless `split` is one of `SPLITS`; quick, before anything is imported."""
    check_choice("split", split, SPLITS)


def load_split(folder: Path, split: str, seed: int) -> Split:
    """Load a folder's images and choose some of them.

    Args:
        folder: one folder of images a class.
        split: "train", "validation" or "test" as `tftune train` divided the folder, or "all".
        seed: the seed that the division was made with.
    """
    import tftune

    if split == "all":
        return tftune.load_image_folder(folder, validation_share=0, test_share=0).train
    return tftune.load_image_folder(folder, seed=seed).splits[split]
