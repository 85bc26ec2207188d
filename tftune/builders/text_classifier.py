"""Building a model from a text encoder and a dataset."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tftune.builders.bert_tokens import BertTokens
from tftune.builders.heads import POOLED, attach_heads, head_specs
from tftune.builders.image_classifier import check_head, targets_of
from tftune.builders.text_encoders import NGRAMS, build_encoder
from tftune.builders.transfer_model import TransferModel
from tftune.config.model_spec import TAGS, ModelSpec
from tftune.data.text_examples import Texts
from tftune.errors import ConfigError, DataError

_COUNTED = 1000
"""Texts whose tokens are counted to choose a length."""
_COVERED = 0.95
"""Share of the texts that are to be read whole."""


def build_text_classifier(
    encoder: str | os.PathLike[str],
    data: Any = None,
    *,
    preprocessor: str | os.PathLike[str] | None = None,
    class_names: Sequence[str] | None = None,
    task: str = "multiclass",
    sequence_length: int | None = None,
    num_texts: int | None = None,
    dropout: float = 0.2,
    hidden: Sequence[int] = (),
    activation: str = "relu",
) -> TransferModel:
    """Put new heads on a text encoder.

    Args:
        encoder: what turns texts into vectors: a folder that `tftune.convert_bert` wrote, which can
            be cut between its layers, so that phases train from the cache; a TF-Hub encoder of
            strings (NNLM, Universal Sentence Encoder) or of BERT's kind: a handle or a folder; or
            "ngrams", hashed words and parts of words, which is not pretrained: it needs no download
            and is the floor that pretrained encoders are compared with.
        data: a Dataset or Split of texts; each of its targets gets a head, by its own task. Tags of
            words, as `tftune.load_tagged_words` gives them, need a converted BERT.
        preprocessor: the TF-Hub preprocessor that belongs to an encoder of BERT's kind.
        class_names: the class names (for regression, the quantities), when there is no `data`.
        task: "multiclass" (two classes included), "multilabel" or "regression", when there is no
            `data`.
        sequence_length: tokens of a text that a converted BERT reads at most. By default the power
            of two that holds 95% of the training texts whole, or the length it was made for if
            that is less.
        num_texts: 2 for pairs of texts; by default as many as the data has.
        dropout: share of features dropped in training before every layer of the head, in [0, 1).
        hidden: units of hidden layers between the features and the heads; none by default.
        activation: of the hidden layers, by its Keras name.

    Returns:
        A model whose encoder is frozen. It takes strings; the tokenizer is inside.

    Raises:
        WeightsError: if there is no such encoder, or it cannot be fetched or read.
        ConfigError: if it is no text encoder, needs a package that is not installed, or a setting
            is invalid.
        DataError: if the data holds no texts.
    """
    heads = head_specs(targets_of(data, class_names, task))
    check_head(dropout, hidden, activation)
    of_words = any(head.task == TAGS for head in heads)
    if of_words and (len(heads) > 1 or num_texts == 2):
        raise ConfigError(
            "Tags of words take a model with one head and one text. Received: "
            f"{len(heads)} heads, `num_texts` {num_texts}."
        )
    examples = getattr(getattr(data, "train", data), "examples", None)
    if examples is not None and not isinstance(examples, Texts):
        raise DataError("`data` must hold texts, as `tftune.load_text_table` gives them.")
    if examples is not None and num_texts not in (None, examples.num_texts):
        raise ConfigError(
            f"`num_texts` must be that of the data, {examples.num_texts}. Received: {num_texts}."
        )
    count = examples.num_texts if examples is not None else num_texts or 1

    def fitting_length(tokens: BertTokens) -> int | None:
        # A text's words that are cut off would get no tag.
        covered = 1.0 if of_words else _COVERED
        return None if examples is None else _fitting_length(tokens, examples, covered)

    built = build_encoder(encoder, preprocessor, sequence_length, count, fitting_length, of_words)
    outputs = attach_heads(
        built.pooled, heads, dropout, hidden, activation, built.contract.sequence_length
    )
    network = keras.Model(built.inputs, outputs, name="classifier")
    spec = ModelSpec(
        preset=built.name,
        contract=built.contract,
        features_layer=keras.Model(built.inputs, built.features).operations[-1].name,
        pooled_layer=POOLED,
        heads=heads,
        pretrained=built.name != NGRAMS,
    )
    model = TransferModel(network, spec)
    model.set_trainable("none")
    return model


def _fitting_length(tokens: BertTokens, examples: Texts, covered: float) -> int:
    """Return the power of two that holds this share of the texts whole."""
    chosen = np.unique(np.linspace(0, len(examples) - 1, min(_COUNTED, len(examples))).astype(int))
    read = examples.take(chosen).text_reader(examples.num_texts)
    counts = []
    for start in range(0, len(chosen), 64):
        indices = range(start, min(start + 64, len(chosen)))
        batch = tf.stack([read(tf.constant(index, tf.int64)) for index in indices])
        counts.append(np.count_nonzero(tokens(batch).numpy() != tokens.tokenizer.pad, axis=1))
    wanted = float(np.quantile(np.concatenate(counts), covered, method="inverted_cdf"))
    return max(8, 1 << int(np.ceil(np.log2(max(wanted, 1)))))
