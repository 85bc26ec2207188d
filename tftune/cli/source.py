"""Where a command's labelled images come from: a folder of class folders, or a table of files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tftune.errors import ConfigError, check_choice

if TYPE_CHECKING:
    from tftune.data.dataset import Dataset, Split

SPLITS = ("train", "validation", "test", "all")

Source = Annotated[
    Path,
    typer.Argument(
        help="A folder with one folder of images a class, or a table (CSV, TSV, JSONL, Parquet)."
    ),
]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", help="Of a table: its column of labels; again for several heads."),
]
ImageColumn = Annotated[str, typer.Option("--image", help="Of a table: its column of image paths.")]
SplitColumn = Annotated[
    str | None,
    typer.Option(
        "--split-column", help="Of a table: the column that says train, validation, test."
    ),
]
GroupColumn = Annotated[
    str | None,
    typer.Option("--group", help="Of a table: a column whose groups stay in one split."),
]


def load_source(
    source: Path,
    labels: Sequence[str] | None = None,
    image: str = "path",
    split_column: str | None = None,
    group: str | None = None,
    *,
    seed: int = 0,
    undivided: bool = False,
) -> Dataset:
    """Load what a command was given.

    Args:
        source: a folder or a table.
        labels: label columns of a table; "label" by default.
        image: its column of paths.
        split_column: its column of ready-made splits.
        group: its column of groups.
        seed: chooses which examples go to which split.
        undivided: put all examples into `train`.

    Raises:
        ConfigError: if a column is named for a folder.
        DataError: if the images cannot be used.
    """
    import tftune
    from tftune.data.image_table import TABLE_SUFFIXES

    shares: dict[str, Any] = {"validation_share": 0.0, "test_share": 0.0} if undivided else {}
    if source.suffix.lower() in TABLE_SUFFIXES and not source.is_dir():
        return tftune.load_image_table(
            source,
            image,
            list(labels or ["label"]),
            split=None if undivided else split_column,
            group=group,
            seed=seed,
            **shares,
        )
    for option, given in (
        ("--label", labels),
        ("--split-column", split_column),
        ("--group", group),
    ):
        if given:
            raise ConfigError(
                f"`{option}` names a column of a table. Received it for the folder "
                f"{str(source)!r}, whose folders are the classes. Leave it out."
            )
    return tftune.load_image_folder(source, seed=seed, **shares)


def check_split(split: str) -> None:
    """Raise ConfigError if a split is none that `load_split` knows; quick, before TensorFlow."""
    check_choice("split", split, SPLITS)


def load_split(
    source: Path,
    split: str,
    labels: Sequence[str] | None = None,
    image: str = "path",
    split_column: str | None = None,
    *,
    seed: int = 0,
) -> Split:
    """Load one split of what a command was given, or all of its images as one.

    Args:
        source: a folder or a table.
        split: "train", "validation" or "test" as `tftune train` divides it, or "all".
        labels: label columns of a table; "label" by default.
        image: its column of paths.
        split_column: its column of ready-made splits.
        seed: the one it was divided with.
    """
    check_split(split)
    columns = (labels, image, split_column)
    if split == "all":
        return load_source(source, *columns, undivided=True).train
    return load_source(source, *columns, seed=seed).splits[split]
