"""Checking a .tflite file against what MediaPipe Tasks demand, before a phone crashes on it.

Every rule was found by running files that break it. MediaPipe 1.2 answers some breaches with an
error, others with a crash or a hang, so none is left to it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator

from tftune.errors import ExportError
from tftune.exporters import tflite_metadata as schema
from tftune.exporters.text_metadata import vocabularies
from tftune.exporters.tflite_contents import Tensor, TfliteContents, inspect_tflite, read_tflite
from tftune.exporters.tflite_metadata import Metadata, TensorNotes, read_metadata
from tftune.results.diagnosis import Diagnosis, Finding

_BERT_INPUTS = {"ids", "mask", "segment_ids"}
_MEND = "Export it again with `tftune export`, or write metadata that says so."


def diagnose(path: str | os.PathLike[str]) -> Diagnosis:
    """Check any .tflite file, whoever made it.

    Args:
        path: the file.

    Returns:
        What it is and what is wrong with it.

    Raises:
        ExportError: if it cannot be read or is not a .tflite file.
    """
    content = read_tflite(path)
    try:
        contents = inspect_tflite(content)
        metadata = read_metadata(content)
    except ExportError as error:
        raise ExportError(f"{str(path)!r}: {error}") from error
    kind = _kind(contents)
    findings = list(_operator_findings(contents))
    findings += _image_findings(contents, metadata) if kind == "image classifier" else []
    if kind == "text classifier":
        findings += _text_findings(contents, metadata)
        findings += _vocabulary_findings(content, metadata) if metadata else []
    if kind == "unknown":
        findings.append(
            Finding(
                "warning",
                "kind",
                "Its inputs are neither one image nor texts, so only its operators were checked.",
                "Run it with LiteRT directly.",
            )
        )
    else:
        findings += _output_findings(contents, metadata)
    return Diagnosis(str(path), kind, _summary(contents, metadata, len(content)), tuple(findings))


def _kind(contents: TfliteContents) -> str:
    inputs = contents.inputs
    if len(inputs) == 1 and len(inputs[0].shape) == 4:
        return "image classifier"
    whole = {tensor.dtype for tensor in inputs} <= {"INT32", "INT64", "STRING"}
    if len(inputs) in (1, 3) and whole and all(len(t.shape) <= 2 for t in inputs):
        return "text classifier"
    return "unknown"


def _operator_findings(contents: TfliteContents) -> Iterator[Finding]:
    flex = sorted({op.name for op in contents.operators if op.custom and op.name[:4] == "Flex"})
    custom = sorted({op.name for op in contents.operators if op.custom and op.name[:4] != "Flex"})
    if flex:
        yield Finding(
            "error",
            "flex-operators",
            f"Operators {', '.join(flex)} need TensorFlow's Flex delegate, which LiteRT and "
            "MediaPipe do not bring.",
            "Keep that part (string handling, mostly) out of the exported graph.",
        )
    if custom:
        yield Finding(
            "warning",
            "custom-operators",
            f"Custom operators {', '.join(custom)} must be registered by the app.",
            "Replace them by built-in operators where possible.",
        )
    if contents.num_subgraphs > 1:
        yield Finding(
            "error",
            "subgraphs",
            f"The file has {contents.num_subgraphs} subgraphs (a table to be set up, a loop or a "
            "branch); MediaPipe takes files of one.",
            "Keep tables, loops and branches out of the exported graph.",
        )
    floats = contents.float_operators
    whole = [op for op in contents.operators if {"INT8", "UINT8"} & set(op.dtypes)]
    integer_ends = {t.dtype for t in contents.inputs} & {"INT8", "UINT8"}
    if integer_ends and floats:
        names = sorted({op.name for op in floats})
        yield Finding(
            "warning",
            "float-fallback",
            f"It takes integers, but {len(floats)} of {len(contents.operators)} operators compute "
            f"in floating point ({', '.join(names[:4])}), {len(whole)} touch integers.",
            "Convert with only integer operators allowed, so that the converter cannot fall back.",
        )


def _image_findings(contents: TfliteContents, metadata: Metadata | None) -> Iterator[Finding]:
    image = contents.inputs[0]
    if image.dtype not in ("UINT8", "FLOAT32"):
        yield Finding(
            "error",
            "image-type",
            f"The image input is {image.dtype}; MediaPipe takes UINT8 or FLOAT32 only.",
            "Convert with `inference_input_type` uint8.",
        )
    batch, height, width, channels = image.shape_signature
    if batch not in (1, -1):
        yield _shape_finding(f"The batch size is fixed at {batch}; MediaPipe feeds 1.")
    if min(height, width) < 1:
        yield _shape_finding("Height or width is not fixed; MediaPipe cannot choose one.")
    if channels != 3:
        yield _shape_finding(f"The image has {channels} channels; MediaPipe feeds 3 (RGB).")
    notes = metadata.inputs[0] if metadata and metadata.inputs else None
    if image.dtype == "FLOAT32" and (notes is None or not notes.mean):
        yield Finding(
            "error",
            "normalisation-missing",
            "The image is FLOAT32 but the metadata has no NormalizationOptions; MediaPipe refuses "
            "such a file.",
            "Add mean [0] and std [1] if the graph takes raw pixels, else its own mean and std.",
        )
    if notes is not None and (len(set(notes.mean)) > 1 or len(set(notes.std)) > 1):
        yield Finding(
            "error",
            "normalisation-per-channel",
            f"The normalisation differs by channel (mean {list(notes.mean)}); MediaPipe refuses "
            "that.",
            "Put the normalisation into the graph and write mean [0] and std [1].",
        )


def _shape_finding(problem: str) -> Finding:
    remedy = "Convert a signature of shape (1, height, width, 3) with fixed sides."
    return Finding("error", "image-shape", problem, remedy)


def _text_findings(contents: TfliteContents, metadata: Metadata | None) -> Iterator[Finding]:
    kinds = {tensor.dtype for tensor in contents.inputs}
    if "INT64" in kinds:
        yield Finding(
            "error",
            "text-type",
            "A token input is INT64; MediaPipe takes INT32 or strings only.",
            "Cast the token ids to int32 before converting.",
        )
    if len(contents.inputs) == 3:
        names = {notes.name for notes in metadata.inputs} if metadata else set()
        if names != _BERT_INPUTS:
            yield Finding(
                "error",
                "bert-names",
                f"The three inputs must be named ids, mask and segment_ids in the metadata, since "
                f"the file's own order is arbitrary. Found: {sorted(names) or 'no names'}.",
                _MEND,
            )
        if not metadata or schema.BERT_TOKENIZER not in metadata.input_process_units:
            yield _tokenizer_finding("BertTokenizerOptions", "input_process_units")
    elif "INT32" in kinds:
        units = metadata.inputs[0].process_units if metadata and metadata.inputs else ()
        if schema.REGEX_TOKENIZER not in units:
            yield _tokenizer_finding("RegexTokenizerOptions", "the input's process_units")


def _vocabulary_findings(content: bytes, metadata: Metadata) -> Iterator[Finding]:
    for name, tokens in vocabularies(content):
        if name not in metadata.files:
            yield Finding(
                "error",
                "vocabulary-missing",
                f"The tokenizer's vocabulary {name!r} is not in the file; MediaPipe refuses it.",
                _MEND,
            )
            continue
        lines = metadata.files[name].decode(errors="replace").splitlines()
        found = {line.split(" ")[0] for line in lines}
        missing = [token for token in tokens if token not in found]
        if missing:
            yield Finding(
                "error",
                "vocabulary-tokens",
                f"The vocabulary {name!r} lacks {', '.join(missing)}, which the tokenizer needs.",
                "Pack the vocabulary that the model was trained with.",
            )


def _tokenizer_finding(options: str, place: str) -> Finding:
    problem = f"The metadata has no {options} in {place}, so MediaPipe cannot make token ids."
    return Finding("error", "tokenizer-missing", problem, _MEND)


def _output_findings(contents: TfliteContents, metadata: Metadata | None) -> Iterator[Finding]:
    kinds = {tensor.dtype for tensor in contents.outputs}
    if kinds not in ({"FLOAT32"}, {"UINT8"}):
        yield Finding(
            "error",
            "output-type",
            f"The outputs are {', '.join(sorted(kinds))}; MediaPipe takes all FLOAT32 or all "
            "UINT8.",
            "Convert with `inference_output_type` float32 or uint8.",
        )
    if metadata is None:
        yield Finding(
            "error",
            "metadata-missing",
            "The file carries no metadata, so MediaPipe Tasks cannot load it; LiteRT can.",
            _MEND,
        )
        return
    for tensor, notes in zip(contents.outputs, metadata.outputs, strict=False):
        if not notes.name:
            yield Finding(
                "error",
                "output-name",
                f"The metadata of output {tensor.name!r} has no name; MediaPipe crashes on it.",
                _MEND,
            )
        yield from _file_findings(tensor, notes, metadata)
    if metadata.deflated:
        yield Finding(
            "error",
            "files-compressed",
            f"Packed files are compressed: {', '.join(metadata.deflated)}; MediaPipe reads them in "
            "place.",
            "Pack them with `zip -0`.",
        )


def _file_findings(tensor: Tensor, notes: TensorNotes, metadata: Metadata) -> Iterator[Finding]:
    missing = [name for name, _ in notes.files if name not in metadata.files]
    if missing:
        yield Finding(
            "error",
            "files-missing",
            f"The metadata names {', '.join(missing)}, which the file does not hold.",
            "Pack the file with `zip -0`, or take its name out of the metadata.",
        )
    kinds = {kind: name for name, kind in notes.files if name in metadata.files}
    size = tensor.shape[-1] if tensor.shape else math.prod(tensor.shape)
    if schema.AXIS_LABELS not in kinds and not missing:
        yield Finding(
            "warning",
            "labels-missing",
            "No labels are packed, so the app sees class numbers only.",
            "Pack a labels.txt of type TENSOR_AXIS_LABELS with one class a line.",
        )
    elif schema.AXIS_LABELS in kinds:
        labels = metadata.files[kinds[schema.AXIS_LABELS]].decode(errors="replace").splitlines()
        if len(labels) != size:
            yield Finding(
                "error",
                "label-count",
                f"{len(labels)} labels are packed for {size} scores; MediaPipe loads such a file "
                "and then hangs.",
                "Write exactly one line a class.",
            )
    if schema.AXIS_SCORE_CALIBRATION in kinds:
        name = kinds[schema.AXIS_SCORE_CALIBRATION]
        lines = metadata.files[name].decode(errors="replace").split("\n")
        if len(lines) != size:
            yield Finding(
                "error",
                "calibration-lines",
                f"{name} has {len(lines)} lines for {size} scores; a newline at its end counts as "
                "one more.",
                "Write one line a class and no newline at the end.",
            )


def _summary(contents: TfliteContents, metadata: Metadata | None, size: int) -> dict[str, str]:
    def listed(tensors: tuple[Tensor, ...]) -> str:
        return "; ".join(
            f"{t.dtype.lower()} ({', '.join(str(side) for side in t.shape_signature)})"
            for t in tensors
        )

    kinds = ", ".join(f"{count} {name}" for name, count in list(contents.counts.items())[:4])
    floats = len(contents.float_operators)
    return {
        "size": f"{size / 1e6:.1f} MB",
        "inputs": listed(contents.inputs),
        "outputs": listed(contents.outputs),
        "operators": f"{len(contents.operators)}, of which {floats} floating point ({kinds}, ...)",
        "metadata": "none" if metadata is None else metadata.name or "unnamed",
        "packed files": ", ".join(metadata.files) if metadata and metadata.files else "none",
    }
