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
        help="A folder with one folder of images (or .txt files) a class, or a table (CSV, TSV, "
        "JSONL, Parquet)."
    ),
]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", help="Of a table: its column of labels; again for several heads."),
]
TextColumns = Annotated[
    list[str] | None,
    typer.Option(
        "--text", help="Of a table of texts: its column of texts; twice for pairs of texts."
    ),
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
    text: Sequence[str] | None = None,
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
        text: its columns of texts, for a table of texts.

    Raises:
        ConfigError: if a column is named for a folder.
        DataError: if the images cannot be used.
    """
    import tftune
    from tftune.data.tables import TABLE_SUFFIXES

    shares: dict[str, Any] = {"validation_share": 0.0, "test_share": 0.0} if undivided else {}
    if source.suffix.lower() in TABLE_SUFFIXES and not source.is_dir():
        if text:
            return tftune.load_text_table(
                source,
                list(text),
                list(labels or ["label"]),
                split=None if undivided else split_column,
                group=group,
                seed=seed,
                **shares,
            )
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
        ("--text", text),
        ("--split-column", split_column),
        ("--group", group),
    ):
        if given:
            raise ConfigError(
                f"`{option}` names a column of a table. Received it for the folder "
                f"{str(source)!r}, whose folders are the classes. Leave it out."
            )
    if holds_texts(source):
        return tftune.load_text_folder(source, seed=seed, **shares)
    return tftune.load_image_folder(source, seed=seed, **shares)


def holds_texts(folder: Path) -> bool:
    """Tell whether a folder of class folders holds .txt files and no images."""
    images = {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"}
    suffixes = {file.suffix.lower() for file in folder.glob("*/**/*")}
    return ".txt" in suffixes and not suffixes & images


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
    text: Sequence[str] | None = None,
) -> Split:
    """Load one split of what a command was given, or all of its images as one.

    Args:
        source: a folder or a table.
        split: "train", "validation" or "test" as `tftune train` divides it, or "all".
        labels: label columns of a table; "label" by default.
        image: its column of paths.
        split_column: its column of ready-made splits.
        seed: the one it was divided with.
        text: columns of texts, for a table of texts.
    """
    check_split(split)
    columns = (labels, image, split_column)
    if split == "all":
        return load_source(source, *columns, undivided=True, text=text).train
    return load_source(source, *columns, seed=seed, text=text).splits[split]
