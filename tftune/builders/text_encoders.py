"""Text encoders: from strings to one vector, as a graph that ends in a layer called "pooled"."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import keras

from tftune.builders.bert_checkpoint import BertCheckpoint
from tftune.builders.bert_layers import BertEmbeddings, BertLayer, BertPooler, PoolTokens
from tftune.builders.bert_to_hub import ENCODER, PREPROCESSOR, is_converted, read_converted
from tftune.builders.bert_tokens import BertTokens
from tftune.builders.heads import POOLED
from tftune.builders.hub_encoder import HubEncoder
from tftune.builders.hub_layer import resolve_handle
from tftune.builders.text_ngrams import HashedNgrams
from tftune.builders.word_layers import BertWordTokens
from tftune.config.text_input import TextInput
from tftune.errors import ConfigError

NGRAMS = "ngrams"
_LONGEST = 128
"""Tokens a text, where no data says how long texts are."""


class TextEncoder:
    """An encoder's graph, and what of a text it reads.

    Attributes:
        name: what to call it.
        inputs: the strings.
        features: the encoder's last tensor with weights of its own below.
        pooled: shape (batch, channels), made by a layer named "pooled".
        contract: what of a text it reads.
    """

    def __init__(
        self,
        name: str,
        inputs: keras.KerasTensor,
        features: keras.KerasTensor,
        pooled: keras.KerasTensor,
        contract: TextInput,
    ) -> None:
        self.name, self.inputs, self.features = name, inputs, features
        self.pooled, self.contract = pooled, contract


def build_encoder(
    encoder: str | os.PathLike[str],
    preprocessor: str | os.PathLike[str] | None,
    sequence_length: int | None,
    num_texts: int,
    lengths: Any = None,
    of_words: bool = False,
) -> TextEncoder:
    """Build an encoder of any kind.

    Args:
        encoder: see `build_text_classifier`.
        preprocessor: of a TF-Hub encoder of the BERT kind.
        sequence_length: tokens at most; chosen by the data if None.
        num_texts: texts an example, 1 or 2.
        lengths: called with a `BertTokens` layer of the longest length there is; gives the token
            counts of the data's texts, or None without data.
        of_words: give a vector for every token, with marks where words begin, instead of one for
            the text.

    Raises:
        WeightsError: if there is no such encoder.
        ConfigError: if it is of no known kind, or a setting is invalid.
    """
    text = keras.Input(() if num_texts == 1 else (num_texts,), dtype="string", name="text")
    if str(encoder) == NGRAMS and not of_words:
        features = HashedNgrams(name=NGRAMS)(text)
        pooled = keras.layers.Identity(name=POOLED)(features)
        return TextEncoder(NGRAMS, text, features, pooled, TextInput(0, num_texts))
    pair = Path(encoder)
    if (pair / ENCODER / "saved_model.pb").is_file():
        if (pair / PREPROCESSOR / "saved_model.pb").is_file():
            preprocessor = preprocessor or pair / PREPROCESSOR
        encoder = pair / ENCODER
    if str(encoder) == NGRAMS:
        raise ConfigError(
            "Tags of words need an encoder that `tftune.convert_bert` wrote. Received: 'ngrams'."
        )
    folder = resolve_handle(os.fspath(encoder), "encoder")
    if is_converted(folder):
        checkpoint = read_converted(folder)
        return _bert(checkpoint, text, sequence_length, num_texts, lengths, of_words)
    if of_words:
        raise ConfigError(
            "Tags of words need an encoder that `tftune.convert_bert` wrote. "
            f"Received: {os.fspath(encoder)!r}."
        )
    if num_texts != 1:
        raise ConfigError(
            "Pairs of texts need an encoder that `tftune.convert_bert` wrote, or 'ngrams'. "
            f"Received: {os.fspath(encoder)!r}."
        )
    if sequence_length is not None:
        raise ConfigError(
            "`sequence_length` can be chosen for encoders that `tftune.convert_bert` wrote. "
            f"Received: {sequence_length} for {os.fspath(encoder)!r}."
        )
    handle = os.fspath(preprocessor) if preprocessor is not None else ""
    features = HubEncoder(os.fspath(encoder), handle, name="hub")(text)
    pooled = keras.layers.Identity(name=POOLED)(features)
    return TextEncoder(_short_name(encoder), text, features, pooled, TextInput(0, 1))


def _short_name(encoder: str | os.PathLike[str]) -> str:
    """Return what people call an encoder: "nnlm-en-dim50" of ".../google/nnlm-en-dim50/2"."""
    parts = [part for part in re.split(r"[/\\]", os.fspath(encoder)) if part]
    if parts[-1] == ENCODER:
        parts.pop()
    named = [part for part in parts if not part.isdigit()]
    return named[-1] if named else "hub"


def _bert(
    checkpoint: BertCheckpoint,
    text: keras.KerasTensor,
    sequence_length: int | None,
    num_texts: int,
    lengths: Any,
    of_words: bool,
) -> TextEncoder:
    shape = checkpoint.shape
    fewest = 2 + num_texts
    if sequence_length is None:
        longest = checkpoint.sequence_length
        found = lengths(_tokens(checkpoint, longest)) if lengths else None
        sequence_length = min(_LONGEST if found is None else found, longest)
    if not fewest <= sequence_length <= shape.max_length:
        raise ConfigError(
            f"`sequence_length` must be between {fewest} and {shape.max_length}, the positions the "
            f"model was trained with. Received: {sequence_length}."
        )
    tokens = _tokens(checkpoint, sequence_length, BertWordTokens if of_words else BertTokens)
    embeddings = BertEmbeddings(
        shape, tokens.tokenizer.pad, tokens.tokenizer.end, of_words, name="embeddings"
    )
    embeddings.assign(checkpoint.weights["embeddings"])
    x = embeddings(tokens(text))
    for number in range(shape.num_layers):
        layer = BertLayer(shape, name=f"layer_{number}")
        layer.assign(checkpoint.weights[layer.name])
        x = layer(x)
    if of_words:
        pooled = keras.layers.Identity(name=POOLED)(x)
    elif checkpoint.pooling == "pooler":
        pooler = BertPooler(shape, name="pooler")
        pooler.assign(checkpoint.weights["pooler"])
        x = pooler(x)
        end = keras.layers.UnitNormalization if checkpoint.normalize else keras.layers.Identity
        pooled = end(name=POOLED)(x)
    else:
        pooled = PoolTokens(checkpoint.pooling, checkpoint.normalize, name=POOLED)(x)
    contract = TextInput(sequence_length, num_texts)
    return TextEncoder(checkpoint.name, text, x, pooled, contract)


def _tokens(
    checkpoint: BertCheckpoint, sequence_length: int, kind: type[BertTokens] = BertTokens
) -> BertTokens:
    vocabulary = "\n".join(checkpoint.vocabulary)
    return kind(vocabulary, checkpoint.lowercase, sequence_length, name="tokens")
