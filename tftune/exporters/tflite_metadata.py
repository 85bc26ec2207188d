"""Metadata inside a .tflite file, as MediaPipe Tasks read it.

The slot numbers are those of TensorFlow's `metadata_schema.fbs`.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import flatbuffers

from tftune.exporters.flatbuffer_tables import Byte, Slots, TableReader, pack

IDENTIFIER = b"M001"
_BUFFER_NAME = b"TFLITE_METADATA"
MIN_PARSER_VERSION = "1.0.0"
LABELS_FILE = "labels.txt"

# Enumerations of the schema.
IMAGE_CONTENT = 2
NORMALIZATION = 1
BERT_TOKENIZER = 4
REGEX_TOKENIZER = 6
AXIS_LABELS = 2
AXIS_SCORE_CALIBRATION = 4
_RGB = 1


@dataclass(frozen=True)
class TensorNotes:
    """What metadata says of one tensor.

    Attributes:
        name: its name; MediaPipe crashes on an output without one.
        content: the content type's number, 2 for an image.
        process_units: the numbers of what is done to it, such as 1 for normalisation.
        mean: normalisation's means; empty where there is none.
        std: normalisation's deviations.
        files: the associated files' names and types.
    """

    name: str
    content: int = 0
    process_units: tuple[int, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    files: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Metadata:
    """What a .tflite file says about itself.

    Attributes:
        name: the model's name.
        inputs: one a described input, in the order of the file.
        outputs: one a described output.
        input_process_units: numbers of what is done to all inputs together, such as 4 for
            BertTokenizer.
        files: the packed files' contents by name.
        deflated: names of packed files that are compressed, which MediaPipe cannot read.
    """

    name: str
    inputs: tuple[TensorNotes, ...]
    outputs: tuple[TensorNotes, ...]
    input_process_units: tuple[int, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    deflated: tuple[str, ...] = ()


@dataclass(frozen=True)
class OutputNotes:
    """What to write of one output.

    Attributes:
        name: its name; MediaPipe gives it out as the head's name.
        description: a sentence for people.
        labels: the name of the packed file with a class, or quantity, a line.
    """

    name: str
    description: str
    labels: str


def describe_image_model(
    name: str, description: str, outputs: Sequence[OutputNotes], normalised: bool
) -> bytes:
    """Write the metadata of a model from one image to scores, or values, of one or more heads.

    Args:
        name: the model's name.
        description: a sentence for people.
        outputs: one an output tensor, in the order of the file.
        normalised: whether the input is float32, for which MediaPipe demands a normalisation. The
            model takes raw pixels, so it is the identity.

    Returns:
        A flatbuffer to give to `attach`.
    """
    image: dict[int, object] = {
        0: "image",
        1: "RGB pixels in [0, 255].",
        3: {0: Byte(IMAGE_CONTENT), 1: {0: Byte(_RGB, signed=True)}},
    }
    if normalised:
        image[4] = [{0: Byte(NORMALIZATION), 1: {0: [0.0], 1: [1.0]}}]
    root: Slots = {
        0: name,
        1: description,
        3: [{2: [image], 3: [output_slots(notes) for notes in outputs]}],
        7: MIN_PARSER_VERSION,
    }
    return pack(root, IDENTIFIER)


def output_slots(notes: OutputNotes) -> Slots:
    """Return the table that describes an output."""
    labels: Slots = {0: notes.labels, 1: "One a line.", 2: Byte(AXIS_LABELS, signed=True)}
    return {0: notes.name, 1: notes.description, 6: [labels]}


def attach(model: bytes, metadata: bytes, files: Mapping[str, str]) -> bytes:
    """Put metadata and files into a .tflite file, replacing what was there.

    Args:
        model: the file's content.
        metadata: the flatbuffer.
        files: texts by name. They are stored, not compressed: MediaPipe reads them in place.

    Returns:
        The new content.
    """
    from ai_edge_litert import schema_py_generated as schema

    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))
    holder = schema.BufferT()
    holder.data = list(metadata)
    tree.buffers.append(holder)
    entry = schema.MetadataT()
    entry.name = _BUFFER_NAME
    entry.buffer = len(tree.buffers) - 1
    tree.metadata = [item for item in tree.metadata or [] if item.name != _BUFFER_NAME] + [entry]
    builder = flatbuffers.Builder(len(model))
    builder.Finish(tree.Pack(builder), b"TFL3")
    content = io.BytesIO(bytes(builder.Output()))
    if files:
        with zipfile.ZipFile(content, "a", zipfile.ZIP_STORED) as archive:
            for name, text in files.items():
                archive.writestr(name, text)
    return content.getvalue()


def read_metadata(content: bytes) -> Metadata | None:
    """Read what a .tflite file says about itself.

    Args:
        content: the file's content.

    Returns:
        None if it carries no metadata.
    """
    root = metadata_root(content)
    return None if root is None else _parse(root, content)


def metadata_root(content: bytes) -> TableReader | None:
    """Return the outermost table of a .tflite file's metadata; None if it carries none."""
    held = metadata_bytes(content)
    return None if held is None else TableReader.root(held)


def metadata_bytes(content: bytes) -> bytes | None:
    """Return the flatbuffer that `attach` put into a .tflite file; None if it carries none."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAsModel(content, 0)
    for index in range(model.MetadataLength()):
        entry = model.Metadata(index)
        if entry.Name() == _BUFFER_NAME:
            return model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
    return None


def _parse(root: TableReader, content: bytes) -> Metadata:
    files: dict[str, bytes] = {}
    deflated = []
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for item in archive.infolist():
                files[item.filename] = archive.read(item)
                if item.compress_type != zipfile.ZIP_STORED:
                    deflated.append(item.filename)
    subgraphs = root.tables(3)
    first = subgraphs[0] if subgraphs else None
    return Metadata(
        name=root.text(0),
        inputs=tuple(_notes(table) for table in first.tables(2)) if first else (),
        outputs=tuple(_notes(table) for table in first.tables(3)) if first else (),
        input_process_units=tuple(unit.byte(0) for unit in first.tables(5)) if first else (),
        files=files,
        deflated=tuple(deflated),
    )


def _notes(tensor: TableReader) -> TensorNotes:
    units = tensor.tables(4)
    options = [unit.table(1) for unit in units if unit.byte(0) == NORMALIZATION]
    normalisation = next((option for option in options if option), None)
    content = tensor.table(3)
    return TensorNotes(
        name=tensor.text(0),
        content=content.byte(0) if content else 0,
        process_units=tuple(unit.byte(0) for unit in units),
        mean=tuple(normalisation.floats(0)) if normalisation else (),
        std=tuple(normalisation.floats(1)) if normalisation else (),
        files=tuple((file.text(0), file.byte(2)) for file in tensor.tables(6)),
    )
