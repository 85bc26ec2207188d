"""The tokenizers of MediaPipe's TextClassifier, as a phone runs them in front of a .tflite file.

They are told again here so that an export can be checked from its original strings where MediaPipe
is not installed. Both are simpler than the tokenizers models are trained with; what they do
otherwise is said at each.

References:
    mediapipe/tasks/cc/text/tokenizers and tasks/cc/components/processors of MediaPipe 0.10 to 1.2.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np

from tftune.errors import ExportError

PAD, UNKNOWN, START = "<PAD>", "<UNKNOWN>", "<START>"
WORD_DELIMITERS = r"[^\pL\pN]+"
"""What stands between words, as RE2 writes it: all but letters and digits."""

_LONGEST_WORD = 100  # bytes; a longer one is unknown as a whole
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class BertPhoneTokenizer:
    """Word pieces, as MediaPipe makes them.

    Only ASCII letters become lower case, and accents stay: "É" is looked up as it is, where a model
    for lower case was trained on "e". Only ASCII spaces part words: a no-break space is part of
    one. Control characters stay too; a NUL ends the text.

    Args:
        vocabulary: the tokens in the order of their ids.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._ids = {token: index for index, token in enumerate(vocabulary)}
        self._longest = max(map(len, vocabulary))

    def ids(self, text: str, length: int) -> list[int]:
        """Return the ids of [CLS], the text's tokens and [SEP], at most `length` of them."""
        pieces = [piece for word in _bert_words(_plain(text)) for piece in self._pieces(word)]
        return [self._ids["[CLS]"], *pieces[: length - 2], self._ids["[SEP]"]]

    def inputs(self, text: str, length: int) -> dict[str, np.ndarray]:
        """Return what is fed, int32, shape (1, length) each: ids, mask and segment_ids."""
        ids = self.ids(text, length)
        fed = {name: np.zeros((1, length), np.int32) for name in ("ids", "mask", "segment_ids")}
        fed["ids"][0, : len(ids)] = ids
        fed["mask"][0, : len(ids)] = 1
        return fed

    def _pieces(self, word: str) -> list[int]:
        unknown = [self._ids["[UNK]"]]
        if len(word.encode("utf-8", "replace")) > _LONGEST_WORD:
            return unknown
        found, start = [], 0
        while start < len(word):
            mark = "##" if start else ""
            for end in range(min(len(word), start + self._longest), start, -1):
                place = self._ids.get(mark + word[start:end])
                if place is not None:
                    found.append(place)
                    start = end
                    break
            else:
                return unknown
        return found


class WordPhoneTokenizer:
    """Whole words, as MediaPipe's RegexTokenizer finds them; it does not change their case.

    Args:
        vocabulary: the number of each word; several may share one.
        delimiters: must be `WORD_DELIMITERS`.

    Raises:
        ExportError: if the delimiters are others.
    """

    def __init__(self, vocabulary: Mapping[str, int], delimiters: str = WORD_DELIMITERS) -> None:
        if delimiters != WORD_DELIMITERS:
            raise ExportError(
                f"Only files whose words are parted by {WORD_DELIMITERS!r} can be run here. "
                f"This one's are by {delimiters!r}."
            )
        self._ids = vocabulary

    def ids(self, text: str, length: int) -> list[int]:
        """Return the numbers of the text's words, at most `length` of them."""
        unknown = self._ids[UNKNOWN]
        start = [self._ids[START]] if START in self._ids else []
        return [*start, *(self._ids.get(word, unknown) for word in plain_words(text))][:length]

    def inputs(self, text: str, length: int) -> dict[str, np.ndarray]:
        """Return what is fed: "ids", int32, shape (1, length)."""
        ids = self.ids(text, length)
        fed = np.full((1, length), self._ids[PAD], np.int32)
        fed[0, : len(ids)] = ids
        return {"ids": fed}


PhoneTokenizer = BertPhoneTokenizer | WordPhoneTokenizer


def plain_words(text: str) -> list[str]:
    """Return the runs of letters and digits of a text, up to a NUL, where MediaPipe ends."""
    kept = [c if unicodedata.category(c)[0] in "LN" else " " for c in text.split("\0")[0]]
    return "".join(kept).split()


def _bert_words(text: str) -> list[str]:
    words, word = [], ""
    for character in text:
        space = character in "\t\n\f\r "
        if space or _stands_alone(character):
            words += [word] if word else []
            words += [] if space else [character]
            word = ""
        else:
            word += character
    return [*words, word] if word else words


def _stands_alone(character: str) -> bool:
    code = ord(character)
    if code < 128:
        return 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    if unicodedata.category(character)[0] == "P":
        return True
    return any(low <= code <= high for low, high in _IDEOGRAPHS)


def _plain(text: str) -> str:
    """Lower-case ASCII letters, up to a NUL."""
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text.split("\0")[0])
