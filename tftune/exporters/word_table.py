"""Hashed words and parts of words as tables of whole words, in operations that phones have.

A word's rows, its own and those of its parts, are always the same, so their sum is one row a word.
Only a pair of neighbouring words depends on more than one; the pairs of the training texts are
looked up in a table of their own. What is in neither table adds nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tftune.builders.text_ngrams import HashedNgrams, ngrams_of
from tftune.data.text_examples import Texts
from tftune.exporters.phone_tokens import PAD, UNKNOWN, plain_words

_MOST_WORDS = 30_000  # below 2^15, so that a pair of them fits into an int32
_MOST_PAIRS = 1 << 16
_CELLS = 4
_LONGEST = 1024
_COVERED = 0.95
_AT_ONCE = 4096


@dataclass(frozen=True)
class WordTable:
    """What a phone looks up.

    Attributes:
        words: the row of each word as it may be written; several may share one.
        length: words of a text that are read.
        rows: float32, shape (num_rows, dimension): the sum of a word's rows.
        counts: float32, shape (num_rows,): how many rows that are.
        pair_keys: int32, shape (num_slots, cells): which pair a cell is about; -1 for none.
        pair_places: int32, of the same shape: the pair's row in `pair_rows`.
        pair_rows: float32, shape (num_pair_rows, dimension); the first is zeros.
    """

    PAD: ClassVar[int] = 0
    UNKNOWN: ClassVar[int] = 1

    words: Mapping[str, int]
    length: int
    rows: np.ndarray
    counts: np.ndarray
    pair_keys: np.ndarray
    pair_places: np.ndarray
    pair_rows: np.ndarray

    @property
    def num_words(self) -> int:
        """How many words there are, in whatever case."""
        return len(self.rows) - 2

    def holds(self, ids: Sequence[int]) -> bool:
        """Tell whether all words and pairs of words of a text are known, and it is not too long."""
        numbers = np.asarray(ids, np.int64)
        if len(numbers) > self.length or (numbers == self.UNKNOWN).any():
            return False
        keys = _key(numbers[:-1], numbers[1:])
        cells = self.pair_keys[keys % len(self.pair_keys)]
        return bool((cells == keys[:, None]).any(axis=1).all())

    def constants(self) -> dict[str, tf.Tensor]:
        """Return the tables as tensors."""
        names = ("rows", "counts", "pair_keys", "pair_places", "pair_rows")
        return {name: tf.constant(getattr(self, name)) for name in names}

    def embed(self, ids: tf.Tensor, tables: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Compute what `HashedNgrams` does, as far as the tables know.

        Args:
            ids: int32, shape (1, length).
            tables: as `constants` gives them.

        Returns:
            Shape (1, dimension).
        """
        ids = ids[0]
        is_word = tf.cast(tf.not_equal(ids, self.PAD), tf.float32)
        keys = _key(ids[:-1], ids[1:])
        slots = tf.math.floormod(keys, len(self.pair_keys))
        matches = tf.equal(tf.gather(tables["pair_keys"], slots), keys[:, tf.newaxis])
        held = tf.gather(tables["pair_places"], slots) * tf.cast(matches, tf.int32)
        places = tf.reduce_sum(held, axis=1)
        summed = tf.reduce_sum(tf.gather(tables["rows"], ids), axis=0)
        summed += tf.reduce_sum(tf.gather(tables["pair_rows"], places), axis=0)
        pairs = tf.maximum(tf.reduce_sum(is_word) - 1.0, 0.0)
        count = tf.reduce_sum(tf.gather(tables["counts"], ids)) + pairs
        return (summed / tf.sqrt(tf.maximum(count, 1.0)))[tf.newaxis]


def build_word_table(layer: HashedNgrams, texts: Texts) -> WordTable:
    """Make the tables for a trained layer.

    Args:
        layer: the encoder.
        texts: training texts: their words are known, in the ways they are written there and in
            lower case, with a capital first and in capitals.

    Returns:
        The tables. Of more than 30,000 words, or 65,536 pairs, the most frequent are kept.
    """
    split = [plain_words(text) for text in texts.columns[0]]
    forms = sorted({form for words in split for form in words})
    lowered = dict(zip(forms, _lowered(forms), strict=True))
    split = [[lowered[form] for form in words] for words in split]
    often = Counter(word for words in split for word in words)
    often.pop("", None)  # what is no single word in lower case
    kept = sorted(often, key=lambda word: (-often[word], word))[:_MOST_WORDS]
    place = {word: index for index, word in enumerate(kept, start=2)}
    rows, counts = _word_rows(layer, kept)
    pairs: Counter[tuple[str, str]] = Counter()
    for words in split:
        pairs.update(
            (a, b) for a, b in zip(words, words[1:], strict=False) if a in place and b in place
        )
    frequent = sorted(pairs, key=lambda pair: (-pairs[pair], pair))[:_MOST_PAIRS]
    keys, places, pair_rows = _pair_tables(layer, frequent, place)
    written = {PAD: WordTable.PAD, UNKNOWN: WordTable.UNKNOWN, **_ways_to_write(kept, place)}
    written |= {form: place[low] for form, low in lowered.items() if low in place}
    return WordTable(written, _length(split), rows, counts, keys, places, pair_rows)


def _lowered(forms: Sequence[str]) -> list[str]:
    """Lower words as the encoder does; empty where that is no single word."""
    found = []
    for start in range(0, len(forms), _AT_ONCE):
        part = tf.constant(list(forms[start : start + _AT_ONCE]))
        found += [w.decode() for w in tf.strings.lower(part, encoding="utf-8").numpy().tolist()]
    return [word if plain_words(word) == [word] else "" for word in found]


def _ways_to_write(words: Sequence[str], place: Mapping[str, int]) -> dict[str, int]:
    ways = [(way, word) for word in words for way in (word.upper(), word.capitalize(), word)]
    back = _lowered([way for way, _ in ways])
    return {way: place[word] for (way, word), low in zip(ways, back, strict=True) if low == word}


def _word_rows(layer: HashedNgrams, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    table = np.asarray(layer.table)
    rows = np.zeros((len(words) + 2, table.shape[1]), np.float32)
    counts = np.zeros(len(words) + 2, np.float32)
    for start in range(0, len(words), _AT_ONCE):
        grams = ngrams_of(tf.constant(list(words[start : start + _AT_ONCE])))
        buckets = tf.strings.to_hash_bucket_fast(grams, layer.buckets)
        lengths = buckets.row_lengths().numpy()
        where = np.repeat(np.arange(len(lengths)) + start + 2, lengths)
        np.add.at(rows, where, table[buckets.flat_values.numpy()])
        counts[start + 2 : start + 2 + len(lengths)] = lengths
    # How many rows an unknown word would have added, which the mean is over, is not known.
    counts[WordTable.UNKNOWN] = counts[2:].mean() if len(words) else 1.0
    return rows, counts


def _pair_tables(
    layer: HashedNgrams, pairs: Sequence[tuple[str, str]], place: Mapping[str, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    slots = _prime_from(max(2, len(pairs)))
    keys = np.full((slots, _CELLS), -1, np.int32)
    places = np.zeros((slots, _CELLS), np.int32)
    buckets: list[int] = []
    for start in range(0, len(pairs), _AT_ONCE):
        joined = tf.constant([" ".join(pair) for pair in pairs[start : start + _AT_ONCE]])
        buckets += tf.strings.to_hash_bucket_fast(joined, layer.buckets).numpy().tolist()
    used = sorted(set(buckets))
    row_of = {bucket: row for row, bucket in enumerate(used, start=1)}
    # The most frequent come first, so a slot that is full loses rare ones.
    for (one, two), bucket in zip(pairs, buckets, strict=True):
        key = int(_key(place[one], place[two]))
        cells = keys[key % slots]
        free = np.flatnonzero(cells < 0)
        if len(free):
            cells[free[0]] = key
            places[key % slots, free[0]] = row_of[bucket]
    table = np.asarray(layer.table)
    pair_rows = np.concatenate([np.zeros((1, table.shape[1]), np.float32), table[used]])
    return keys, places, pair_rows.astype(np.float32)


def _key(one: Any, two: Any) -> Any:
    return one * (1 << 16) + two


def _length(split: Sequence[Sequence[str]]) -> int:
    """Return the power of two that holds most texts whole."""
    wanted = np.quantile([len(words) for words in split], _COVERED, method="inverted_cdf")
    return int(min(_LONGEST, max(8, 1 << int(np.ceil(np.log2(max(wanted, 1)))))))


def _prime_from(start: int) -> int:
    number = start
    while any(number % d == 0 for d in range(2, int(number**0.5) + 1)):
        number += 1
    return number
