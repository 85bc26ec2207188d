"""Checking an export again, with or without the model it was made from."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tftune.builders.transfer_model import TransferModel
from tftune.config.image_input import ImageInput
from tftune.data.dataset import Split
from tftune.data.decode import WHITE
from tftune.errors import DataError, ExportError
from tftune.evaluation.evaluate import check_classes, predict_split
from tftune.evaluation.metrics import classification_evaluation
from tftune.exporters.certificate import Answers, Budget, compare, size_and_digest
from tftune.exporters.litert import run_images
from tftune.exporters.saved_model import run_saved_model
from tftune.exporters.tflite_contents import inspect_tflite
from tftune.exporters.tflite_metadata import LABELS_FILE, read_metadata
from tftune.results.verification import Verification

_TOLERANCE = 1e-4


def verify_export(
    path: str | os.PathLike[str],
    split: Split,
    model: TransferModel | None = None,
    resize: str = "bilinear",
) -> Verification:
    """Run an export over labelled examples in its real runtime.

    Args:
        path: a `.tflite` file, a version folder of a SavedModel, or a folder of versions (the
            highest is taken).
        split: labelled examples, read from their original files.
        model: the Keras model to compare with; without it the export is measured alone.
        resize: how images are brought to a .tflite file's size, which the file does not record; the
            model's own contract is used when `model` is given.

    Returns:
        Its metrics, whether it is still the certified one, and the comparison.

    Raises:
        ExportError: if there is no export at `path` or it cannot be run.
        DataError: if the split's classes are not the export's.
    """
    export = _find(Path(path))
    background = model.image_input.background if model else WHITE
    if export.is_dir():
        class_names = _lines(export / "assets.extra" / LABELS_FILE)
        _check_names(split, class_names)
        answers = run_saved_model(export, split, background)
    else:
        contract, class_names = _phone_contract(export, resize)
        _check_names(split, class_names)
        answers = run_images(export, split, model.image_input if model else contract)
    certificate = None
    if model is not None:
        check_classes(model, split)
        expected = predict_split(model, split)
        certificate = compare(expected, answers, split, export, _budget(export))
    return Verification(
        path=str(export),
        runtime=answers.runtime,
        evaluation=_evaluation(answers, split),
        intact=_intact(export),
        certificate=certificate,
    )


def _find(path: Path) -> Path:
    if path.is_file() and path.suffix == ".tflite":
        return path
    if (path / "saved_model.pb").is_file():
        return path
    versions = [p for p in path.iterdir() if p.name.isdigit()] if path.is_dir() else []
    if versions:
        return max(versions, key=lambda version: int(version.name))
    raise ExportError(
        f"There is no export at {str(path)!r}: expected a .tflite file or a SavedModel's folder."
    )


def _phone_contract(file: Path, resize: str) -> tuple[ImageInput, list[str]]:
    content = file.read_bytes()
    contents = inspect_tflite(content)
    shape = contents.inputs[0].shape
    if len(shape) != 4:
        raise ExportError(f"{str(file)!r} takes no image; its input has shape {shape}.")
    metadata = read_metadata(content)
    labels = metadata.files.get(LABELS_FILE, b"").decode() if metadata else ""
    return ImageInput((shape[1], shape[2]), resize), labels.splitlines()


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines() if file.is_file() else []


def _check_names(split: Split, class_names: list[str]) -> None:
    if class_names and tuple(class_names) != split.class_names:
        raise DataError(
            f"The split's classes must be the export's. Received: {list(split.class_names)}; "
            f"the export's labels are {class_names}."
        )


def _budget(export: Path) -> Budget:
    """Take the budget the export was certified with, or the strictest."""
    try:
        recorded = json.loads(_certificate_of(export).read_text(encoding="utf-8"))
        return Budget(recorded["tolerance"], recorded["max_drop"])
    except (OSError, ValueError, KeyError):
        return Budget(_TOLERANCE)


def _intact(export: Path) -> bool | None:
    try:
        recorded = json.loads(_certificate_of(export).read_text(encoding="utf-8"))["sha256"]
    except (OSError, ValueError, KeyError):
        return None
    return recorded == size_and_digest(export)[1]


def _certificate_of(export: Path) -> Path:
    return export.with_name(export.name + ".certificate.json")


def _evaluation(answers: Answers, split: Split):
    return classification_evaluation(
        answers.probabilities, split.labels, split.class_names, split=split.name
    )
