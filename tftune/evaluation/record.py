"""What a run directory keeps of an evaluation, so that runs can be compared and shown later.

`data.json` says what the data was, `validation.npz` holds the answers to the validation examples
and `thumbnails.npz` small pictures of the notable ones. None of them names a place of the machine.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tftune.atomic import replaced_file, write_json
from tftune.errors import DataError, ModelFileError, did_you_mean_path
from tftune.results.evaluation import Evaluation
from tftune.results.predictions import Predictions

if TYPE_CHECKING:  # reading a record needs no TensorFlow
    from tftune.data.dataset import Dataset, Split

DATA_FILE = "data.json"
PREDICTIONS_FILE = "validation.npz"
THUMBNAILS_FILE = "thumbnails.npz"

_SIDE = 96  # pixels of a thumbnail's longer side
_MOST = 240  # thumbnails a run; about 3 kB each
_MISTAKES_A_CELL = 12
_RIGHT_A_CLASS = 4


def write_record(folder: Path, evaluation: Evaluation, data: Dataset) -> None:
    """Write the record of a run's data and of its validation.

    Args:
        folder: the run directory.
        evaluation: of the kept weights on `data.validation`, with predictions.
        data: what the run was trained and judged on.
    """
    write_json(folder / DATA_FILE, describe_data(data))
    if evaluation.predictions is None:
        return
    evaluation.predictions.save(folder / PREDICTIONS_FILE)
    if evaluation.task == "multiclass":
        pictures = thumbnails(data.validation, evaluation.predictions)
        with replaced_file(folder / THUMBNAILS_FILE) as temporary, open(temporary, "wb") as stream:
            np.savez(stream, **_as_arrays(pictures))


def describe_data(data: Dataset) -> dict[str, Any]:
    """Return a JSON-ready summary of a dataset."""
    splits = {}
    for name, split in data.splits.items():
        counts = {
            target.name: dict(zip(target.class_names, target.counts.tolist(), strict=True))
            for target in split.targets
        }
        splits[name] = {
            "examples": len(split),
            "fingerprint": split.fingerprint,
            "counts": counts,
        }
    return {
        "source": Path(data.source).name,
        "fingerprint": data.fingerprint,
        "tasks": {target.name: target.task for target in data.train.targets},
        "splits": splits,
        "notes": list(data.notes),
        "skipped": len(data.skipped),
    }


def thumbnails(split: Split, predictions: Predictions) -> dict[int, bytes]:
    """Make small pictures of the mistakes and of some right answers.

    Args:
        split: where the images are.
        predictions: the answers to them.

    Returns:
        JPEG files by row of `predictions`: the most confident mistakes of every pair of classes,
        and the least confident right answers of every class. Images that cannot be read any more
        are left out.
    """
    pictures = {}
    for row in notable_rows(predictions):
        try:
            pixels = split.examples.pixels(int(predictions.indices[row]))
        except (DataError, OSError):
            continue
        pictures[row] = jpeg(pixels)
    return pictures


def notable_rows(predictions: Predictions) -> list[int]:
    """Choose examples a reader wants to see, at most 240: mistakes before right answers."""
    predicted, confidence = predictions.predicted, predictions.confidence
    wrong = predicted != predictions.labels
    cells: dict[tuple[int, int], list[int]] = {}
    for row in np.argsort(-confidence, kind="stable"):
        if wrong[row]:
            cells.setdefault((int(predictions.labels[row]), int(predicted[row])), []).append(row)
    chosen = _in_turns([rows[:_MISTAKES_A_CELL] for rows in cells.values()])
    right: dict[int, list[int]] = {}
    for row in np.argsort(confidence, kind="stable"):
        if not wrong[row]:
            right.setdefault(int(predicted[row]), []).append(row)
    chosen += _in_turns([rows[:_RIGHT_A_CLASS] for rows in right.values()])
    return [int(row) for row in chosen[:_MOST]]


def jpeg(pixels: np.ndarray, side: int = _SIDE) -> bytes:
    """Encode uint8 RGB pixels as a JPEG file whose longer side is at most `side` pixels."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=80)
    return stream.getvalue()


def read_thumbnails(folder: Path) -> dict[int, bytes]:
    """Return what `write_record` kept, JPEG files by row; empty if it kept none."""
    try:
        with np.load(folder / THUMBNAILS_FILE, allow_pickle=False) as arrays:
            content, ends = arrays["content"].tobytes(), arrays["ends"].tolist()
            starts = [0, *ends][: len(ends)]
            cut = [content[start:end] for start, end in zip(starts, ends, strict=True)]
            return dict(zip(arrays["rows"].tolist(), cut, strict=True))
    except FileNotFoundError:
        return {}
    except Exception as error:  # NumPy and zipfile raise half a dozen types of their own
        raise ModelFileError(f"{str(folder / THUMBNAILS_FILE)!r} cannot be read: {error}.") from (
            error
        )


def read_json(file: Path) -> Any:
    """Read one of a run directory's JSON files.

    Raises:
        ModelFileError: if it is missing or damaged, in a sentence about the run.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        if not file.parent.exists():
            raise ModelFileError(
                f"There is no run at {str(file.parent)!r}.{did_you_mean_path(file.parent)}"
            ) from error
        raise ModelFileError(
            f"{str(file.parent)!r} is not a finished run: {file.name} cannot be read "
            f"({error.strerror if isinstance(error, OSError) else error}). Finish it with the "
            "call or command that began it, or train again."
        ) from error


def read_validation(folder: Path, metrics: Mapping[str, Any]) -> Evaluation:
    """Return a run's last validation, with its predictions where the run kept them.

    Args:
        folder: the run directory.
        metrics: what its metrics.json holds.

    Raises:
        ModelFileError: if the run holds no validation, or one of another version.
    """
    kept = folder / PREDICTIONS_FILE
    predictions = Predictions.load(kept) if kept.exists() else None
    try:
        return Evaluation.from_json(list(metrics["validation"].values())[-1], predictions)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ModelFileError(
            f"{str(folder)!r} holds no validation that this version reads ({error!r}). Train again."
        ) from error


def _in_turns(lists: list[list[int]]) -> list[int]:
    """Take the first of each list, then the second of each, and so on."""
    longest = max(map(len, lists), default=0)
    return [rows[place] for place in range(longest) for rows in lists if place < len(rows)]


def _as_arrays(pictures: Mapping[int, bytes]) -> dict[str, Any]:
    return {
        "rows": np.array(list(pictures), int),
        "content": np.frombuffer(b"".join(pictures.values()), np.uint8),
        "ends": np.cumsum([len(picture) for picture in pictures.values()], dtype=int),
    }
