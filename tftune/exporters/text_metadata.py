"""Metadata of .tflite files that take texts: the tokenizer a phone runs and its vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tftune.errors import ExportError
from tftune.exporters import tflite_metadata as schema
from tftune.exporters.flatbuffer_tables import Byte, Slots, TableReader, pack
from tftune.exporters.phone_tokens import (
    PAD,
    UNKNOWN,
    WORD_DELIMITERS,
    BertPhoneTokenizer,
    PhoneTokenizer,
    WordPhoneTokenizer,
)
from tftune.exporters.tflite_metadata import Metadata, OutputNotes, metadata_root, output_slots

VOCABULARY_FILE = "vocab.txt"
BERT_INPUTS = ("ids", "mask", "segment_ids")
_VOCABULARY = 5  # of the schema's AssociatedFileType
_NOTES = {
    "ids": "Token ids.",
    "mask": "1 for tokens, 0 for padding.",
    "segment_ids": "0: one text.",
}


def describe_text_model(
    name: str, description: str, inputs: Sequence[str], outputs: Sequence[OutputNotes]
) -> bytes:
    """Write the metadata of a model from tokens to scores, or values, of one or more heads.

    Args:
        name: the model's name.
        description: a sentence for people.
        inputs: the inputs' names in the order of the file: ids, mask and segment_ids in any order
            for word pieces, or ids alone for words.
        outputs: one an output tensor, in the order of the file.

    Returns:
        A flatbuffer to give to `attach`.
    """
    vocabulary: Slots = {0: VOCABULARY_FILE, 2: Byte(_VOCABULARY, signed=True)}
    described: list[dict[int, object]] = [{0: each, 1: _NOTES[each]} for each in inputs]
    graph: dict[int, object] = {2: described, 3: [output_slots(notes) for notes in outputs]}
    if len(inputs) == 1:
        options: Slots = {0: WORD_DELIMITERS, 1: [vocabulary]}
        described[0][4] = [{0: Byte(schema.REGEX_TOKENIZER), 1: options}]
    else:
        graph[5] = [{0: Byte(schema.BERT_TOKENIZER), 1: {0: [vocabulary]}}]
    root: Slots = {0: name, 1: description, 3: [graph], 7: schema.MIN_PARSER_VERSION}
    return pack(root, schema.IDENTIFIER)


def word_lines(vocabulary: Mapping[str, int]) -> str:
    """Write a vocabulary of words as MediaPipe reads it: a word and its number a line."""
    return "\n".join(f"{word} {index}" for word, index in vocabulary.items())


def packed_tokenizer(content: bytes, metadata: Metadata | None) -> PhoneTokenizer:
    """Make the tokenizer that a phone would, from what a file says and holds.

    Args:
        content: the .tflite file's content.
        metadata: as `read_metadata` gives it.

    Raises:
        ExportError: if the file names no tokenizer, or does not hold its vocabulary.
    """
    root = metadata_root(content)
    graphs = root.tables(3) if root else []
    if metadata is None or not graphs:
        raise ExportError("The file carries no metadata, so nothing says how to make tokens.")
    for unit in graphs[0].tables(5):
        if unit.byte(0) == schema.BERT_TOKENIZER:
            return BertPhoneTokenizer(_vocabulary(unit.table(1), 0, metadata).split("\n"))
    for tensor in graphs[0].tables(2):
        for unit in tensor.tables(4):
            options = unit.table(1)
            if unit.byte(0) == schema.REGEX_TOKENIZER and options is not None:
                lines = _vocabulary(options, 1, metadata).split("\n")
                pairs = [line.rpartition(" ") for line in lines if line]
                wrong = next((line for line in pairs if not line[2].isdecimal()), None)
                if wrong:
                    raise ExportError(
                        "A line of the vocabulary must be a word and its number. Received: "
                        f"{''.join(wrong)!r}."
                    )
                return WordPhoneTokenizer({w: int(n) for w, _, n in pairs}, options.text(0))
    raise ExportError("The file's metadata names neither a BertTokenizer nor a RegexTokenizer.")


def vocabularies(content: bytes) -> list[tuple[str, tuple[str, ...]]]:
    """Name the vocabulary files that a file's tokenizers want, and the tokens each must hold."""
    root = metadata_root(content)
    graphs = root.tables(3) if root else []
    if not graphs:
        return []
    units = [(unit, 0) for unit in graphs[0].tables(5) if unit.byte(0) == schema.BERT_TOKENIZER]
    for tensor in graphs[0].tables(2):
        units += [(u, 1) for u in tensor.tables(4) if u.byte(0) == schema.REGEX_TOKENIZER]
    wanted: tuple[tuple[str, ...], ...] = (("[CLS]", "[SEP]", "[UNK]"), (PAD, UNKNOWN))
    found = []
    for unit, slot in units:
        options = unit.table(1)
        files = options.tables(slot) if options else []
        found += [(file.text(0), wanted[slot]) for file in files]
    return found


def _vocabulary(options: TableReader | None, slot: int, metadata: Metadata) -> str:
    files = options.tables(slot) if options else []
    name = files[0].text(0) if files else ""
    if name not in metadata.files:
        raise ExportError(f"The file does not hold its tokenizer's vocabulary {name!r}.")
    return metadata.files[name].decode("utf-8")
