"""Checking an export again, with or without the model it was made from."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tftune.builders.transfer_model import TransferModel
from tftune.config.image_input import ImageInput
from tftune.config.model_spec import HeadSpec, ModelSpec
from tftune.config.text_input import TextInput
from tftune.data.dataset import Split
from tftune.errors import DataError, ExportError, did_you_mean_path
from tftune.evaluation.evaluate import check_targets, evaluate_heads, predict_split
from tftune.exporters.certificate import Budget, compare, size_and_digest
from tftune.exporters.description import SPEC_FILE, read_spec
from tftune.exporters.litert import run_images, run_texts
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
        resize: how images are brought to the size of a .tflite file that tftune did not write; its
            own files say it.

    Returns:
        Its metrics, whether it is still the certified one, and the comparison.

    Raises:
        ExportError: if there is no export at `path` or it cannot be run.
        DataError: if the split's classes are not the export's.
    """
    export = _find(Path(path))
    spec = model.spec if model is not None else _read_spec(export)
    if spec is not None:
        heads, contract = spec.heads, spec.contract
        check_targets(heads, split)
    else:
        contract, class_names = _foreign_contract(export, resize)
        _check_names(split, class_names)
        heads = tuple(HeadSpec(t.name, t.task, t.class_names, "", "") for t in split.targets)
    if export.is_dir():
        answers = run_saved_model(export, split, heads, contract)
    elif isinstance(contract, TextInput):
        answers = run_texts(export, split, heads)
    else:
        answers = run_images(export, split, contract, heads)
    certificate = None
    if model is not None:
        expected = predict_split(model, split)
        certificate = compare(heads, expected, answers, split, export, _budget(export))
    outputs = answers.outputs if len(heads) > 1 else answers.outputs[heads[0].name]
    return Verification(
        path=str(export),
        runtime=answers.runtime,
        evaluation=evaluate_heads(heads, split, outputs),
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
        f"{did_you_mean_path(path)}"
    )


def _read_spec(export: Path) -> ModelSpec | None:
    """Read what tftune wrote about the model into the export."""
    if export.is_dir():
        file = export / "assets.extra" / SPEC_FILE
        return read_spec(file.read_bytes()) if file.is_file() else None
    inspect_tflite(export.read_bytes())  # names what is wrong with a damaged file
    metadata = read_metadata(export.read_bytes())
    return read_spec(metadata.files.get(SPEC_FILE, b"")) if metadata else None


def _foreign_contract(export: Path, resize: str) -> tuple[ImageInput | TextInput, list[str]]:
    """Tell from an export of another tool what can be told."""
    if export.is_dir():
        labels = export / "assets.extra" / LABELS_FILE
        known = labels.read_text(encoding="utf-8").splitlines() if labels.is_file() else []
        return ImageInput((1, 1)), known  # a SavedModel resizes by itself
    content = export.read_bytes()
    shape = inspect_tflite(content).inputs[0].shape
    metadata = read_metadata(content)
    text = metadata.files.get(LABELS_FILE, b"").decode() if metadata else ""
    if len(shape) == 2:
        return TextInput(shape[1]), text.splitlines()
    if len(shape) != 4:
        raise ExportError(f"{str(export)!r} takes no image; its input has shape {shape}.")
    return ImageInput((shape[1], shape[2]), resize), text.splitlines()


def _check_names(split: Split, class_names: list[str]) -> None:
    if class_names and tuple(class_names) != split.class_names:
        raise DataError(
            f"The split's classes must be the export's. Received: {list(split.class_names)}; "
            f"the export's labels are {class_names}. Give data of these classes, such as what "
            "the model was trained on."
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
