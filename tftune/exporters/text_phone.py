"""A model of texts as a phone gets it: token ids, made by MediaPipe's own tokenizers."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tftune.builders import bert_math
from tftune.builders.bert_layers import BertEmbeddings
from tftune.builders.bert_tokens import BertTokens
from tftune.builders.hub_encoder import HubEncoder
from tftune.builders.text_ngrams import HashedNgrams
from tftune.builders.transfer_model import TransferModel
from tftune.config.model_spec import TASKS
from tftune.data.dataset import Split
from tftune.data.text_examples import Texts
from tftune.errors import ConfigError, DataError
from tftune.exporters.certificate import Answers
from tftune.exporters.litert import run_texts
from tftune.exporters.phone_model import (
    Traced,
    described_as,
    named_outputs,
    output_notes,
    packed_files,
)
from tftune.exporters.phone_tokens import BertPhoneTokenizer, WordPhoneTokenizer
from tftune.exporters.text_metadata import (
    BERT_INPUTS,
    VOCABULARY_FILE,
    describe_text_model,
    word_lines,
)
from tftune.exporters.tflite_contents import inspect_tflite
from tftune.exporters.tflite_metadata import attach
from tftune.exporters.word_table import WordTable, build_word_table

# Of the same tokens float32 gives the model's answers but for the order of sums. Float16 moved a
# probability by 2e-3 with MiniLM. With 8 bits only the accuracy is bounded.
_TOLERANCES = {"none": 1e-4, "float16": 1e-2}
_TOKENIZED_AT_ONCE = 64


class TextPhone:
    """What all models of texts share; see `PhoneModel`.

    Args:
        model: the model.
        input_names: the file's inputs.
        length: tokens, or words, at most.
        vocabulary: the vocabulary file's content.
    """

    forms: tuple[str, ...] = ("none", "float16", "dynamic")

    def __init__(
        self, model: TransferModel, input_names: Sequence[str], length: int, vocabulary: str
    ) -> None:
        self.model = model
        self.length = length
        self._input_names = tuple(input_names)
        self._vocabulary = vocabulary

    @property
    def specs(self) -> dict[str, tf.TensorSpec]:
        """The inputs by name, int32, shape (1, length) each."""
        return {n: tf.TensorSpec((1, self.length), tf.int32, name=n) for n in self._input_names}

    def described(self, content: bytes, name: str, form: str) -> bytes:
        """Put metadata, labels, vocabulary and the model's own description into a file."""
        contents = inspect_tflite(content)
        about = describe_text_model(
            name, described_as(self.model), contents.input_names, output_notes(self.model, contents)
        )
        files = {**packed_files(self.model), VOCABULARY_FILE: self._vocabulary}
        return attach(content, about, files)

    def run(self, file: Path, split: Split) -> Answers:
        """Tokenize a split's original texts as a phone does, and run the file, twice."""
        return run_texts(file, split, self.model.heads)

    def tolerance(self, form: str) -> float | None:
        """Return the largest difference of a probability where the tokens are the same."""
        return _TOLERANCES.get(form)

    def inputs(self, form: str) -> str:
        """Write the inputs as a signature shows them."""
        return ", ".join(f"{name} int32 (1, {self.length})" for name in self._input_names)


class BertPhone(TextPhone):
    """A converted BERT: word pieces.

    Args:
        model: the model.
    """

    def __init__(self, model: TransferModel) -> None:
        self._tokens: BertTokens = model.keras_model.get_layer("tokens")
        pieces = self._tokens.vocabulary.split("\n")
        super().__init__(model, BERT_INPUTS, self._tokens.sequence_length, "\n".join(pieces))
        self._phone = BertPhoneTokenizer(pieces)

    def traced(self) -> Traced:
        """Return the network to convert."""
        network, heads = self.model.keras_model, self.model.heads
        embeddings: BertEmbeddings = network.get_layer("embeddings")
        above = keras.Model(embeddings.output, network.output, name="above_embeddings")

        @tf.function(input_signature=[self.specs[name] for name in BERT_INPUTS])
        def serve(ids: tf.Tensor, mask: tf.Tensor, segment_ids: tf.Tensor) -> dict[str, Any]:
            sequence = bert_math.embed(
                embeddings.shape, embeddings.values(), ids, mask, segment_ids, tf.identity
            )
            return named_outputs(heads, above(sequence, training=False))

        # Not the tokenizer, whose table would become a second subgraph, which MediaPipe refuses.
        return Traced(serve, (embeddings, above))

    def same_inputs(self, split: Split) -> np.ndarray:
        """Tell which texts have the same tokens on a phone and in the model."""
        texts = _texts_of(split)
        same = []
        for start in range(0, len(texts), _TOKENIZED_AT_ONCE):
            batch = texts[start : start + _TOKENIZED_AT_ONCE]
            encoded = [text.encode("utf-8", "replace") for text in batch]
            rows = self._tokens(tf.constant(encoded)).numpy()
            pad = self._tokens.tokenizer.pad
            for text, row in zip(batch, rows, strict=True):
                same.append(row[row != pad].tolist() == self._phone.ids(text, self.length))
        return np.array(same, bool)

    def notes(self, split: Split) -> list[str]:
        """Say how many texts a phone reads otherwise, and why."""
        others = int((~self.same_inputs(split)).sum())
        told = (
            "All texts have the model's own tokens on a phone."
            if not others
            else f"{others} of {len(split)} texts have other tokens on a phone than in the model: "
            "MediaPipe keeps accents, and lower-cases ASCII letters only. The bound on "
            "probabilities is for the other texts, the loss of accuracy for all."
        )
        if self._tokens.lowercase:
            return [told]
        return [told, "The encoder tells upper from lower case; MediaPipe lower-cases all texts."]


class WordsPhone(TextPhone):
    """Hashed words and parts of words, as a table of the words that were seen in training.

    Args:
        model: the model.
        texts: training texts, whose words the table holds.
    """

    def __init__(self, model: TransferModel, texts: Texts) -> None:
        self._table: WordTable = build_word_table(model.keras_model.get_layer("ngrams"), texts)
        words = self._table.words
        super().__init__(model, ("ids",), self._table.length, word_lines(words))
        self._phone = WordPhoneTokenizer(words)

    def traced(self) -> Traced:
        """Return the network to convert."""
        network, heads, table = self.model.keras_model, self.model.heads, self._table
        above = keras.Model(network.get_layer("ngrams").output, network.output, name="above_words")
        constants = table.constants()

        @tf.function(input_signature=[self.specs["ids"]])
        def serve(ids: tf.Tensor) -> dict[str, Any]:
            return named_outputs(heads, above(table.embed(ids, constants), training=False))

        return Traced(serve, (above,))

    def same_inputs(self, split: Split) -> np.ndarray:
        """Tell of which texts the table holds all words and pairs of words."""
        return np.array([self._table.holds(self._words(text)) for text in _texts_of(split)], bool)

    def notes(self, split: Split) -> list[str]:
        """Say how much of the texts the table lacks."""
        unknown = WordTable.UNKNOWN
        ids = [number for text in _texts_of(split) for number in self._words(text)]
        share = ids.count(unknown) / max(1, len(ids))
        whole = self.same_inputs(split)
        return [
            f"Words are those of the training texts, {self._table.num_words}; {share:.1%} of the "
            "words of these texts are unknown to the file, and what the encoder takes from their "
            f"letters is lost. {int(whole.sum())} of {len(split)} texts are read whole; the bound "
            "on probabilities is for them, the loss of accuracy for all."
        ]

    @functools.lru_cache(maxsize=4096)  # noqa: B019 - the phone lives as long as one export
    def _words(self, text: str) -> tuple[int, ...]:
        return tuple(self._phone.ids(text, 2 * self.length))


def text_phone(model: TransferModel, training: Split | None) -> BertPhone | WordsPhone:
    """Prepare a model of texts for phones.

    Args:
        model: the model.
        training: training examples, whose words a model of words keeps.

    Raises:
        ConfigError: if phones cannot run its encoder, or the training texts are missing.
    """
    layers = model.keras_model.layers
    if any(head.task not in TASKS for head in model.heads):
        raise ConfigError(
            "MediaPipe's TextClassifier gives one answer a text; this model's are of another kind. "
            "Serve it by `export_saved_model`."
        )
    if len(model.keras_model.input.shape) == 2:
        raise ConfigError(
            "A model of pairs cannot go to a phone: MediaPipe's TextClassifier takes one text. "
            "Serve it by `export_saved_model`."
        )
    hub = next((layer for layer in layers if isinstance(layer, HubEncoder)), None)
    if hub is not None and not hub.preprocessor:
        raise ConfigError(
            "This TF-Hub encoder takes strings, and its operations on strings exist for phones "
            "only as TensorFlow's Flex operators, which neither LiteRT nor MediaPipe brings. Serve "
            "the model by `export_saved_model`, or train a converted BERT or 'ngrams', which can "
            "go to a phone."
        )
    if hub is not None:
        raise ConfigError(
            "This TF-Hub encoder's preprocessor is a SavedModel of its own, whose tokens a phone "
            "cannot be shown to make. Convert its checkpoint by `tftune.convert_bert`, or serve "
            "the model by `export_saved_model`."
        )
    if any(isinstance(layer, HashedNgrams) for layer in layers):
        if training is None:
            raise ConfigError(
                "A phone looks whole words up, so the export needs the words of the training "
                "texts: give `calibration=data.train` (on the command line `--verify DATA`)."
            )
        if not isinstance(training.examples, Texts):
            raise DataError("`calibration` must hold texts, as the model was trained on.")
        return WordsPhone(model, training.examples)
    return BertPhone(model)


def _texts_of(split: Split) -> tuple[str, ...]:
    if not isinstance(split.examples, Texts) or split.examples.num_texts != 1:
        raise DataError("The model reads texts, one an example. The split holds something else.")
    return split.examples.columns[0]
