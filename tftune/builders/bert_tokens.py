"""BERT's tokenizer in the graph: strings to token ids, as Hugging Face's own gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tftune.errors import ConfigError

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")

# A text has far fewer characters than this a token; what lies behind is never read. Bounds the work
# on a text of many megabytes.
_BYTES_A_TOKEN = 64


def import_tensorflow_text() -> Any:
    """Import tensorflow_text, which registers the operations of its tokenizers.

    Raises:
        ConfigError: if it is not installed or was built for another TensorFlow.
    """
    try:
        import tensorflow_text
    except Exception as error:  # a build for another TensorFlow raises errors of the loader
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ConfigError(
            "Encoders of the BERT kind need the package tensorflow-text, in the version of "
            f"TensorFlow ({tf.version.VERSION}). Run `pip install 'tftune[text]'`. "
            f"Importing it said: {reason}."
        ) from error
    return tensorflow_text


class BertTokenizer(tf.Module):
    """Turns texts into token ids in the graph.

    Args:
        vocabulary: the tokens in the order of their ids.
        lowercase: lowercase and strip accents, as uncased models want it.

    Raises:
        ConfigError: if a special token is missing, or tensorflow-text is.
    """

    def __init__(self, vocabulary: Sequence[str], lowercase: bool) -> None:
        super().__init__()
        place = {token: index for index, token in enumerate(vocabulary)}
        missing = [token for token in SPECIAL if token not in place]
        if missing:
            raise ConfigError(f"The vocabulary lacks the tokens {', '.join(missing)}.")
        self.pad, self.unknown, self.start, self.end = (place[token] for token in SPECIAL)
        self.lowercase = lowercase
        self._text = import_tensorflow_text()
        # In the order of ids, a doubled token's last id counts, as in Hugging Face's reader.
        names, ids = list(place), list(place.values())
        self.table = tf.lookup.StaticVocabularyTable(
            tf.lookup.KeyValueTensorInitializer(names, ids, tf.string, tf.int64),
            num_oov_buckets=1,
        )
        self._tokenizer = self._text.BertTokenizer(self.table, token_out_type=tf.int32)

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Return token ids without special tokens, ragged shape (batch, length).

        Args:
            texts: strings, shape (batch,); broken UTF-8 is left out.
        """
        cleaned = clean(texts)
        if self.lowercase:
            cleaned = tf.strings.lower(cleaned, encoding="utf-8")
            cleaned = self._text.normalize_utf8(cleaned, "NFD")
            cleaned = tf.strings.regex_replace(cleaned, r"\p{Mn}", "")
        return self._tokenizer.tokenize(cleaned).merge_dims(1, -1)

    def pack(self, parts: Sequence[tf.RaggedTensor], length: tf.Tensor | int) -> tf.RaggedTensor:
        """Put texts between special tokens: [CLS] one [SEP] two [SEP].

        Args:
            parts: token ids of each text of an example.
            length: tokens at most, special ones included; the longest text is cut first.

        Returns:
            Ragged int32, shape (batch, length of the example).
        """
        room = length - len(parts) - 1
        cut = list(parts)
        if len(cut) > 1:
            cut = self._text.ShrinkLongestTrimmer(room).trim(cut)
        else:
            cut = [cut[0][:, :room]]
        packed, _ = self._text.combine_segments(cut, self.start, self.end)
        return packed


def clean(texts: tf.Tensor) -> tf.Tensor:
    """Drop broken UTF-8, control and format characters; make every space a plain one."""
    whole = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="ignore")
    spaced = tf.strings.regex_replace(whole, r"[\t\n\r\p{Z}]", " ")
    return tf.strings.regex_replace(spaced, r"[\p{Cc}\p{Cf}\p{Co}\x{FFFD}]", "")


def segments_of(token_ids: tf.Tensor, end: int) -> tf.Tensor:
    """Tell which text of a pair each token belongs to: how many ends came before it, at most 1."""
    ends = tf.cast(tf.equal(token_ids, end), tf.int32)
    return tf.minimum(tf.cumsum(ends, axis=1, exclusive=True), 1)


@keras.saving.register_keras_serializable(package="tftune")
class BertTokens(keras.layers.Layer):
    """Strings to token ids, padded to the longest text of the batch.

    Args:
        vocabulary: the tokens in the order of their ids, joined by line feeds.
        lowercase: lowercase and strip accents.
        sequence_length: tokens at most, special ones included.
    """

    def __init__(
        self, vocabulary: str, lowercase: bool, sequence_length: int, **arguments: Any
    ) -> None:
        arguments.setdefault("autocast", False)
        super().__init__(**arguments)
        self.vocabulary = vocabulary
        self.lowercase = lowercase
        self.sequence_length = sequence_length
        self.tokenizer = BertTokenizer(vocabulary.split("\n"), lowercase)
        self.supports_jit = False  # strings cannot go through XLA

    def call(self, texts: tf.Tensor) -> tf.Tensor:
        """Return int32 token ids, shape (batch, at most sequence_length).

        Args:
            texts: strings, shape (batch,) or, for pairs, (batch, 2).
        """
        texts = self.bounded(texts)
        columns = tf.unstack(texts, axis=1) if texts.shape.rank == 2 else [texts]
        parts = [self.tokenizer.tokenize(column) for column in columns]
        packed = self.tokenizer.pack(parts, self.sequence_length)
        return packed.to_tensor(self.tokenizer.pad)

    def count(self, texts: tf.Tensor) -> tf.Tensor:
        """Return how many tokens the model reads of each text, int64, shape (batch,)."""
        return tf.math.count_nonzero(tf.not_equal(self(texts), self.tokenizer.pad), axis=1)

    def bounded(self, texts: tf.Tensor) -> tf.Tensor:
        """Cut off what lies behind anything that could be read."""
        return tf.strings.substr(texts, 0, _BYTES_A_TOKEN * self.sequence_length)

    def compute_output_spec(self, texts: Any) -> keras.KerasTensor:
        """Say what comes out; the length depends on the batch."""
        return keras.KerasTensor((texts.shape[0], None), "int32")

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer, the vocabulary included."""
        return {
            **super().get_config(),
            "vocabulary": self.vocabulary,
            "lowercase": self.lowercase,
            "sequence_length": self.sequence_length,
        }
