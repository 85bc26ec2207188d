"""Loading a folder that holds one folder of images a class."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tftune.data.assemble import assemble, split_name
from tftune.data.bad_files import keep_good
from tftune.data.dataset import Dataset
from tftune.data.headers import IMAGE_SUFFIXES
from tftune.data.image_files import CheckedFile, ImageFiles, check_images
from tftune.data.targets import DEFAULT_TARGET, Target
from tftune.errors import DataError, did_you_mean_path

_SYSTEM_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx", "ehthumbs.db", "@eadir"})


@dataclass(frozen=True)
class _Found:
    """A file inside a class folder: its class, its split if there is one, its sorting key."""

    path: Path
    key: str
    class_name: str
    split: str


def load_image_folder(
    folder: str | os.PathLike[str],
    validation_share: float = 0.15,
    test_share: float = 0.15,
    seed: int = 0,
    check_files: bool = True,
    on_bad: str = "raise",
) -> Dataset:
    """Load images from `folder/<class name>/<image file>`.

    A folder whose folders are called train, val (valid, validation) and test, each with class
    folders, is taken as already split; a split that is missing is taken out of train.

    What a file holds counts, not what it is called. Hidden and system files are ignored; other
    files that are no images are passed over and counted in the notes. Paths are ordered by name,
    so the splits are the same on every machine that holds the same files.

    Args:
        folder: a folder of class folders.
        validation_share: share of each class for validation, in [0, 1).
        test_share: share of each class for test, in [0, 1).
        seed: chooses which examples go to which split.
        check_files: decode every file once, so that a damaged one is named now rather than in
            the middle of training; otherwise only its header is read.
        on_bad: "raise" names the files that cannot be used; "skip" leaves them out and lists them
            in the Dataset's `skipped`.

    Returns:
        A Dataset; no pixels are kept in memory.

    Raises:
        DataError: if the folder is missing, is a file, holds no class folders, images at its top
            level, a single class, a class with fewer than two images, or a file that is no image.
    """
    root = Path(folder)
    if not root.exists():
        raise DataError(
            "`folder` must be an existing folder, with one folder of images a class. Received: "
            f"{str(folder)!r}.{did_you_mean_path(folder)}"
        )
    if not root.is_dir():
        raise DataError(
            "`folder` must be a folder, not a file, unless it is a table (.csv, .tsv, .jsonl, "
            f".parquet). Received: {str(folder)!r}."
        )
    try:
        found, names, is_split = _find(root)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{str(error.filename)!r} cannot be read: {reason}.") from error
    checked = check_images([str(file.path) for file in found], decode=check_files)
    pairs = list(zip(found, checked, strict=True))
    # Not called an image and not one: a text file, say. It is passed over, not refused.
    kept = [(f, c) for f, c in pairs if not c.problem or _is_image(f.path)]
    good, skipped = keep_good([check.problem for _, check in kept], on_bad) if kept else ([], ())
    used = [kept[index] for index in good]
    labels = np.array([names.index(file.class_name) for file, _ in used], np.int64)
    _check_counts(root, names, np.bincount(labels, minlength=len(names)))
    examples = ImageFiles(
        tuple(str(file.path) for file, _ in used),
        tuple(check.decoder for _, check in used),
        tuple(check.fingerprint for _, check in used) if check_files else None,
    )
    return assemble(
        examples,
        [Target(DEFAULT_TARGET, "multiclass", tuple(names), labels)],
        source=root.resolve().name,
        validation_share=validation_share,
        test_share=test_share,
        seed=seed,
        ready=[file.split for file, _ in used] if is_split else None,
        notes=_notes(len(pairs) - len(kept), [check for _, check in used]),
        skipped=skipped,
    )


def _find(root: Path) -> tuple[list[_Found], list[str], bool]:
    """List files in order, class names in order, and whether the folder is already split."""
    folders = _folders(root)
    loose = [p for p in _sorted(root.iterdir()) if p.is_file() and _is_image(p) and _shown(p)]
    if loose:
        raise DataError(
            f"{str(root)!r} has {len(loose)} image(s) at its top level (first: {loose[0].name!r}). "
            "Put every image into a folder named after its class."
        )
    if not folders:
        raise DataError(
            f"{str(root)!r} holds no class folders. Expected one folder a class, "
            "each with that class's images."
        )
    splits = [split_name(p.name) for p in folders]
    is_split = "train" in splits and all(splits) and all(_folders(p) for p in folders)
    if is_split:
        if len(set(splits)) < len(splits):
            listed = ", ".join(repr(p.name) for p in folders)
            raise DataError(f"{str(root)!r} holds the same split twice: {listed}. Join them.")
        by_split = list(zip(splits, folders, strict=True))
    else:
        by_split = [("", root)]
    found = []
    class_names = set()
    for split, parent in by_split:
        for class_folder in _folders(parent):
            class_name = unicodedata.normalize("NFC", class_folder.name)
            class_names.add(class_name)
            for path in class_folder.rglob("*"):
                inside = path.relative_to(class_folder)
                is_link_to_nothing = path.is_symlink() and not path.exists() and _is_image(path)
                is_usable = path.is_file() or is_link_to_nothing
                if is_usable and all(_shown(Path(part)) for part in inside.parts):
                    found.append(_Found(path, _key(path, root), class_name, str(split)))
    names = sorted(class_names)
    found.sort(key=lambda file: (file.class_name, file.key))
    return found, names, is_split


def _folders(root: Path) -> list[Path]:
    return _sorted(p for p in root.iterdir() if p.is_dir() and _shown(p))


def _sorted(paths) -> list[Path]:
    return sorted(paths, key=lambda p: unicodedata.normalize("NFC", p.name))


def _key(path: Path, root: Path) -> str:
    # Some file systems store accents decomposed: the same name must sort the same everywhere.
    return unicodedata.normalize("NFC", path.relative_to(root).as_posix())


def _shown(path: Path) -> bool:
    return not path.name.startswith(".") and path.name.lower() not in _SYSTEM_NAMES


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def _notes(num_others: int, checked: Sequence[CheckedFile]) -> list[str]:
    notes = []
    if num_others:
        notes.append(f"{num_others} file(s) that are no images passed over.")
    notes.extend(suffix_notes(checked))
    return notes


def suffix_notes(checked: Sequence[CheckedFile]) -> list[str]:
    """Say how many files are of another format than their name promises."""
    odd = [check for check in checked if check.odd_suffix]
    if not odd:
        return []
    return [
        f"{len(odd)} file(s) are of another format than their name says and are used as what they "
        f"are (first: {Path(odd[0].path).name!r} is {odd[0].format})."
    ]


def _check_counts(root: Path, names: Sequence[str], counts: np.ndarray) -> None:
    if counts.sum() == 0:
        raise DataError(
            f"{str(root)!r} holds no images. Expected files ending in "
            f"{', '.join(sorted(IMAGE_SUFFIXES))} inside its class folders."
        )
    if len(names) < 2:
        raise DataError(
            f"{str(root)!r} holds one class ({names[0]!r}). A classifier needs at least two: "
            "add a folder of images that are something else."
        )
    small = [f"{name!r} ({count})" for name, count in zip(names, counts, strict=True) if count < 2]
    if small:
        raise DataError(
            "Every class needs at least two images, one to train on and one to validate on. "
            f"Too small: {', '.join(small)}. Add images or remove the folder."
        )
