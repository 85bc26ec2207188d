"""Exporting for phones: a .tflite file that takes one image of the model's own size, or tokens."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tftune.atomic import replaced_file, write_json
from tftune.builders.transfer_model import TransferModel
from tftune.config.model_spec import TAGS
from tftune.config.text_input import TextInput
from tftune.data.dataset import Split
from tftune.errors import ConfigError, ExportError, OutputExistsError, check_choice
from tftune.exporters.certificate import Budget, certify
from tftune.exporters.full_disk import full_disk_named
from tftune.exporters.head_answers import answer_keys
from tftune.exporters.image_phone import ImagePhone
from tftune.exporters.mixed_precision import check_quantizer, describe_selection
from tftune.exporters.phone_model import PhoneModel
from tftune.exporters.text_phone import TextPhone, text_phone
from tftune.exporters.tflite_contents import inspect_tflite, prove_integer
from tftune.exporters.tflite_conversion import CALIBRATED, Converter
from tftune.results.export import Certificate, Export

FORMS = ("none", "float16", "dynamic", "int8")
QUANTIZATIONS = (*FORMS, "mixed", "auto")


@dataclass(frozen=True)
class _Request:
    """What one export is about, whatever its form.

    Attributes:
        phone: what to export, as a phone gets it.
        converter: converts it.
        verify: held-out examples.
        max_drop: the largest loss of accuracy.
        allow_drop: write it past its budget all the same.
    """

    phone: PhoneModel
    converter: Converter
    verify: Split | None
    max_drop: float
    allow_drop: bool


@dataclass(frozen=True)
class _Written:
    """One form of the model, as it was put on disk."""

    size_bytes: int
    certificate: Certificate | None


def export_tflite(
    model: TransferModel,
    path: str | os.PathLike[str],
    quantize: str = "none",
    verify: Split | None = None,
    calibration: Split | None = None,
    max_drop: float = 0.02,
    allow_drop: bool = False,
    overwrite: bool = False,
) -> Export:
    """Write a .tflite file with metadata and labels inside, and compare it with Keras in LiteRT.

    Input: one image, shape (1, height, width, 3), RGB in [0, 255], already of the model's size;
    float32, or uint8 with "int8". Output: probabilities (for regression values), shape
    (1, num_classes), of the same type; one such tensor for each head, told apart by its name in the
    metadata. MediaPipe's ImageClassifier loads the file as it is. The model's temperature is part
    of the graph, so no score calibration is packed, which MediaPipe alone would apply.

    A model of texts takes what the tokenizers of MediaPipe's TextClassifier make, whose vocabulary
    is packed: a converted BERT `ids`, `mask` and `segment_ids`, int32, shape (1, sequence_length);
    "ngrams" the numbers of whole words, `ids`, int32, shape (1, length), of the words that
    `calibration` holds. The certificate begins at the original strings, so it tells what the
    phone's simpler tokenizers cost. Encoders of strings from TF-Hub cannot go to a phone.

    Args:
        model: what to export.
        path: a file name that ends in ".tflite".
        quantize: "none" keeps float32; "float16" halves the large weights, "dynamic" stores them in
            8 bits; "int8" makes weights and arithmetic 8-bit, which is checked on the file; "mixed"
            does so for convolutions and dense layers and keeps the rest in float32 (the extra
            `quantize`); "auto" takes the smallest form that stays within `max_drop`, and needs
            `verify`; it tries "mixed" where "int8" does not. Models of texts have neither "int8"
            nor "mixed".
        verify: held-out examples to compare the export with the Keras model on.
        calibration: real training images that set the ranges of "int8" and "mixed";
            `verify` by default; "float16" corrects biases by them. For "ngrams" the training texts.
        max_drop: the largest loss of accuracy on `verify`, in [0, 1]; of macro F1 for multilabel,
            and for regression the largest rise of the error in the targets' standard deviations.
        allow_drop: write an export past its budget all the same; its certificate says so.
        overwrite: replace an existing file.

    Returns:
        What was written, with its certificate.

    Raises:
        ConfigError: if the name, `quantize` or the data it needs is missing or wrong.
        OutputExistsError: if the file exists and `overwrite` is False.
        ExportError: if the model cannot be converted, an "int8" file is not all integer, or the
            file does not give the model's answers; nothing is left behind then.
    """
    check_choice("quantize", quantize, QUANTIZATIONS)
    target = Path(path)
    images = calibration if calibration is not None else verify
    _check_request(target, quantize, verify, images, overwrite)
    phone = _phone(model, quantize, calibration)
    request = _Request(phone, Converter(phone, images), verify, max_drop, allow_drop)
    if quantize == "auto":
        return _smallest(request, target)
    try:
        written = _write(request, target, quantize, allow_drop)
    except ExportError as error:
        if quantize == "int8" and verify:
            raise ExportError(f"{error} {_mixed_instead(request, target)}") from error
        raise
    return _export(request, target, quantize, written)


def _check_request(
    target: Path, quantize: str, verify: Split | None, images: Split | None, overwrite: bool
) -> None:
    if target.suffix != ".tflite":
        raise ConfigError(f"`path` must end in '.tflite'. Received: {str(target)!r}.")
    if target.is_dir():
        raise ConfigError(f"`path` must be a file. Received a folder: {str(target)!r}.")
    if target.exists() and not overwrite:
        raise OutputExistsError(
            f"{str(target)!r} exists. Choose another name, or overwrite it (--overwrite)."
        )
    if quantize == "auto" and verify is None:
        raise ConfigError(
            "`quantize='auto'` needs held-out examples: give `verify=data.validation` "
            "(--verify DATA)."
        )
    if quantize in CALIBRATED and not images:
        raise ConfigError(
            f"`quantize={quantize!r}` needs real images: give `calibration=data.train` (--verify "
            "DATA, whose training images are taken)."
        )
    if quantize == "mixed":
        check_quantizer()


def _phone(model: TransferModel, quantize: str, training: Split | None) -> PhoneModel:
    """Return the model as a phone gets it."""
    if not isinstance(model.contract, TextInput):
        return ImagePhone(model)
    if model.task == TAGS:
        raise ConfigError(
            "MediaPipe has no task for tags of words. Export the model with `export_saved_model`."
        )
    if quantize not in (*TextPhone.forms, "auto"):
        raise ConfigError(
            f"`quantize` of a model of texts must be one of {(*TextPhone.forms, 'auto')}. "
            f"Received: {quantize!r}."
        )
    return text_phone(model, training)


def _smallest(request: _Request, target: Path) -> Export:
    """Try every form beside the target and keep the smallest that is good enough."""
    candidates: list[dict[str, Any]] = []
    fitting: list[tuple[int, str]] = []
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.stem}-") as folder:
        for form in request.phone.forms:
            if form == "mixed" and any(fits == "int8" for _, fits in fitting):
                continue  # nothing is lost by integers alone
            row: dict[str, Any] = {"quantize": form, "size_bytes": 0, "score": None}
            row |= {"drop": None, "outcome": "kept out: "}
            candidates.append(row)
            try:
                written = _write(request, Path(folder) / f"{form}.tflite", form, allow_drop=True)
            except (ConfigError, ExportError) as error:
                row["outcome"] += str(error)
                continue
            assert written.certificate is not None
            first = written.certificate.heads[0]
            row["size_bytes"] = written.size_bytes
            row["score"] = first.after[first.metric].value
            row["drop"] = written.certificate.drop
            if written.certificate.passed:
                row["outcome"] = "within budget"
                fitting.append((written.size_bytes, form))
            else:
                row["outcome"] += "; ".join(written.certificate.problems)
        if not fitting:
            raise ExportError(
                f"No form stays within a drop of {request.max_drop}: "
                + "; ".join(f"{row['quantize']}: {row['outcome']}" for row in candidates)
            )
        chosen = min(fitting)[1]
        next(row for row in candidates if row["quantize"] == chosen)["outcome"] = "chosen"
        with full_disk_named(target), replaced_file(target) as temporary:
            temporary.write_bytes((Path(folder) / f"{chosen}.tflite").read_bytes())
    # Checked again at its final place, so that the certificate is of the file that is there.
    written = _certified(request, target, chosen, allow_drop=True)
    _write_certificate(target, written.certificate)
    return _export(request, target, chosen, written, candidates)


def _mixed_instead(request: _Request, target: Path) -> str:
    """Try selective quantization, and say in a sentence what it would give."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            file = Path(folder) / target.name
            certificate = _write(request, file, "mixed", allow_drop=True).certificate
        except (ConfigError, ExportError) as error:
            return f"`quantize='mixed'` was not of use either: {error}"
    assert certificate is not None
    told = f"a drop of {certificate.drop:.3f} at {certificate.size_bytes / 1e6:.1f} MB"
    if certificate.passed:
        return f"`quantize='mixed'` was tried and is within the budget: {told}."
    return f"`quantize='mixed'` was tried and is past the budget too: {told}."


def _write(request: _Request, target: Path, quantize: str, allow_drop: bool) -> _Written:
    ordered = [head.name for head in request.phone.model.heads if head.ordered]
    if quantize == "int8" and ordered:
        raise ConfigError(
            f"The steps of an ordered head ({', '.join(ordered)}) are logarithms of probabilities, "
            "which eight bits cannot hold: use `quantize='mixed'`, 'dynamic' or 'float16'."
        )
    content = request.converter.convert(quantize)
    if quantize == "int8":
        prove_integer(inspect_tflite(content))
    content = request.phone.described(content, target.stem, quantize)
    with full_disk_named(target), replaced_file(target) as temporary:
        temporary.write_bytes(content)
        written = _certified(request, temporary, quantize, allow_drop)
        _write_certificate(target, written.certificate)
    return written


def _certified(request: _Request, file: Path, quantize: str, allow_drop: bool) -> _Written:
    size = file.stat().st_size
    if request.verify is None:
        return _Written(size, None)
    used = request.converter.calibration_record(quantize)
    notes = [describe_selection(file.read_bytes())] if quantize == "mixed" else []
    phone, split = request.phone, request.verify
    certificate = certify(
        phone.model,
        split,
        lambda split: phone.run(file, split),
        file,
        Budget(phone.tolerance(quantize), request.max_drop, allow_drop),
        used,
        [*notes, *phone.notes(split)],
        phone.same_inputs(split),
    )
    return _Written(size, certificate)


def _write_certificate(target: Path, certificate: Certificate | None) -> None:
    place = target.with_name(target.name + ".certificate.json")
    if certificate is not None:
        write_json(place, certificate.to_json())
    else:
        place.unlink(missing_ok=True)  # one that is left from an earlier file would be a lie


def _export(
    request: _Request,
    target: Path,
    quantize: str,
    written: _Written,
    candidates: list[dict[str, Any]] | None = None,
) -> Export:
    heads = request.phone.model.heads
    keys = answer_keys(heads)
    answers = ", ".join(f"{keys[head.name]} (1, {len(head.class_names)})" for head in heads)
    return Export(
        path=str(target),
        size_bytes=written.size_bytes,
        signatures={"serving_default": f"{request.phone.inputs(quantize)} -> {answers}"},
        certificate=written.certificate,
        quantize=quantize,
        candidates=tuple(candidates or ()),
    )
