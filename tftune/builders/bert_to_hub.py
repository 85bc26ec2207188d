"""Writing a BERT encoder as a pair of TF-Hub SavedModels, and reading such a pair again.

OUT/preprocessor/   strings to input_word_ids, input_mask, input_type_ids (needs tensorflow_text)
OUT/encoder/        these to default, pooled_output, sequence_output; plain TensorFlow only
OUT/encoder/assets.extra/tftune_bert.json and vocab.txt: what the pair was made from, which lets
`build_text_classifier` rebuild the encoder as a graph that can be cut
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from tftune.atomic import replaced_folder
from tftune.builders import bert_math
from tftune.builders.bert_checkpoint import BertCheckpoint, read_checkpoint
from tftune.builders.bert_math import BertShape
from tftune.builders.bert_tokens import BertTokenizer, import_tensorflow_text, segments_of
from tftune.errors import ConfigError, OutputExistsError, WeightsError, check_choice

ENCODER, PREPROCESSOR = "encoder", "preprocessor"
INPUTS = ("input_word_ids", "input_mask", "input_type_ids")
_ABOUT = Path("assets.extra") / "tftune_bert.json"
_VOCABULARY = Path("assets.extra") / "vocab.txt"
_FORMAT = 1
_LENGTH = 128


def convert_bert(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    pooling: str | None = None,
    normalize: bool | None = None,
    sequence_length: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Convert a BERT checkpoint to a TF-Hub preprocessor and encoder.

    Args:
        path: a folder in Hugging Face's form: `config.json`, `vocab.txt`, `model.safetensors`.
        out: the folder to write; it will hold `preprocessor` and `encoder`.
        pooling: how the sentence vector "default" is made of the tokens': "mean", "max", "cls" (the
            first token) or "pooler" (BERT's own layer on it). By default what the checkpoint says,
            and "mean" where it says nothing.
        normalize: scale sentence vectors to length 1; what the checkpoint says if None.
        sequence_length: tokens that the preprocessor pads and cuts texts to; 128 by
            default, or what the checkpoint is made for if that is less. `bert_pack_inputs` takes
            other lengths.
        overwrite: replace `out` if it exists.

    Returns:
        The folder written, for `build_text_classifier`.

    Raises:
        WeightsError: if the checkpoint is incomplete or damaged.
        ConfigError: if it is of a family that cannot be converted, a setting is invalid, or
            tensorflow-text or safetensors is not installed.
        OutputExistsError: if `out` exists and `overwrite` is False.
    """
    if Path(out).exists() and not overwrite:
        raise OutputExistsError(f"{str(out)!r} exists. Choose another name or overwrite it.")
    import_tensorflow_text()
    if pooling is not None:
        check_choice("pooling", pooling, bert_math.POOLINGS)
    checkpoint = read_checkpoint(path, pooling)
    if normalize is not None:
        checkpoint = dataclasses.replace(checkpoint, normalize=normalize)
    if checkpoint.pooling == "pooler" and "pooler" not in checkpoint.weights:
        raise ConfigError(f"`pooling` cannot be 'pooler': {str(path)!r} has no pooler.")
    longest = checkpoint.shape.max_length
    if sequence_length is None:
        sequence_length = min(_LENGTH, checkpoint.sequence_length)
    if not 3 <= sequence_length <= longest:
        raise ConfigError(
            f"`sequence_length` must be between 3 and {longest}, the positions the model was "
            f"trained with. Received: {sequence_length}."
        )
    with replaced_folder(out, overwrite) as folder:
        _write_encoder(checkpoint, folder / ENCODER)
        _write_preprocessor(checkpoint, folder / PREPROCESSOR, sequence_length)
    return Path(out)


def is_converted(encoder: Path) -> bool:
    """Tell whether an encoder's folder was written by `convert_bert`."""
    return (encoder / _ABOUT).is_file()


def read_converted(encoder: Path) -> BertCheckpoint:
    """Read back what an encoder was converted from.

    Args:
        encoder: the encoder's folder, for which `is_converted` holds.

    Raises:
        WeightsError: if it is damaged or was written by a newer version.
    """
    try:
        about = json.loads((encoder / _ABOUT).read_text(encoding="utf-8"))
        if about.pop("format") != _FORMAT:
            raise ValueError("it was written by another version of tftune")
        shape = BertShape(**about.pop("shape"))
        pooler = about.pop("has_pooler")
        vocabulary = (encoder / _VOCABULARY).read_text(encoding="utf-8").split("\n")
        reader = tf.train.load_checkpoint(str(encoder / "variables" / "variables"))
        weights = {
            stage: {name: reader.get_tensor(_key(stage, name)) for name in shapes}
            for stage, shapes in shape.weights_by_stage(pooler).items()
        }
        return BertCheckpoint(shape=shape, vocabulary=tuple(vocabulary), weights=weights, **about)
    except (OSError, ValueError, TypeError, KeyError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise WeightsError(
            f"The converted encoder {str(encoder)!r} cannot be read: {reason}. Convert it again."
        ) from error


def _key(stage: str, name: str) -> str:
    return f"weights/{stage}__{name}/.ATTRIBUTES/VARIABLE_VALUE"


def _write_encoder(checkpoint: BertCheckpoint, folder: Path) -> None:
    shape = checkpoint.shape
    variables = {
        stage: {name: tf.Variable(value, name=f"{stage}/{name}") for name, value in named.items()}
        for stage, named in checkpoint.weights.items()
    }

    def encode(inputs: Mapping[str, tf.Tensor], training: bool = False) -> dict[str, Any]:
        def drop(x: tf.Tensor) -> tf.Tensor:
            return tf.nn.dropout(x, shape.dropout) if training and shape.dropout else x

        def drop_attention(x: tf.Tensor) -> tf.Tensor:
            share = shape.attention_dropout
            return tf.nn.dropout(x, share) if training and share else x

        ids, mask, segments = (inputs[name] for name in INPUTS)
        x = bert_math.embed(shape, variables["embeddings"], ids, mask, segments, drop)
        layers = []
        for number in range(shape.num_layers):
            x = bert_math.transform(shape, variables[f"layer_{number}"], x, drop, drop_attention)
            layers.append(x[..., :-1])
        if "pooler" in variables:
            pooled = bert_math.pool_by_pooler(variables["pooler"], x)
        if checkpoint.pooling == "pooler":
            default = tf.nn.l2_normalize(pooled, -1) if checkpoint.normalize else pooled
        else:
            default = bert_math.pool(x, checkpoint.pooling, checkpoint.normalize)
        return {
            "default": default,
            "pooled_output": pooled if "pooler" in variables else default,
            "sequence_output": x[..., :-1],
            "encoder_outputs": layers,
        }

    spec = {name: tf.TensorSpec((None, None), tf.int32, name=name) for name in INPUTS}
    call = tf.function(encode)
    for training in (False, True):  # a SavedModel holds only what was traced
        call.get_concrete_function(spec, training=training)

    @tf.function(input_signature=[spec])
    def serve(inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        outputs = encode(inputs)
        del outputs["encoder_outputs"]  # a signature gives tensors, not lists of them
        return outputs

    # A tf.Module's own `variables` is a property, which a SavedModel does not keep.
    module = tf.train.Checkpoint()
    module.weights = {
        f"{stage}__{name}": variable
        for stage, named in variables.items()
        for name, variable in named.items()
    }
    module.__call__ = call
    module.variables = list(module.weights.values())
    module.trainable_variables = list(module.weights.values())
    module.regularization_losses = []
    tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})
    about = {
        "format": _FORMAT,
        "name": checkpoint.name,
        "shape": dataclasses.asdict(shape),
        "has_pooler": "pooler" in variables,
        "lowercase": checkpoint.lowercase,
        "pooling": checkpoint.pooling,
        "normalize": checkpoint.normalize,
        "sequence_length": checkpoint.sequence_length,
    }
    (folder / _ABOUT).parent.mkdir(exist_ok=True)
    (folder / _ABOUT).write_text(json.dumps(about, indent=2), encoding="utf-8")
    (folder / _VOCABULARY).write_text("\n".join(checkpoint.vocabulary), encoding="utf-8")


def _write_preprocessor(checkpoint: BertCheckpoint, folder: Path, sequence_length: int) -> None:
    text = import_tensorflow_text()
    tokenizer = BertTokenizer(checkpoint.vocabulary, checkpoint.lowercase)

    def pack(parts: list[tf.RaggedTensor], length: Any) -> dict[str, tf.Tensor]:
        flat = [p.merge_dims(1, -1) if p.ragged_rank > 1 else p for p in parts]
        packed = tokenizer.pack(flat, length)
        ids, mask = text.pad_model_inputs(packed, length, pad_value=tokenizer.pad)
        segments = segments_of(ids, tokenizer.end) * mask
        return dict(zip(INPUTS, (ids, mask, segments), strict=True))

    strings = tf.TensorSpec((None,), tf.string, name="sentences")
    tokenize = tf.function(tokenizer.tokenize, input_signature=[strings])
    bert_pack_inputs = tf.function(
        lambda inputs, seq_length=sequence_length: pack(inputs, seq_length)
    )
    ragged = tf.RaggedTensorSpec((None, None), tf.int32)
    for count in (1, 2):
        length = tf.TensorSpec((), tf.int32, name="seq_length")
        bert_pack_inputs.get_concrete_function([ragged] * count, seq_length=length)

    @tf.function(input_signature=[strings])
    def call(sentences: tf.Tensor) -> dict[str, tf.Tensor]:
        return pack([tokenizer.tokenize(sentences)], sequence_length)

    module = tf.train.Checkpoint(tokenizer=tokenizer)
    module.__call__ = call
    module.tokenize = tokenize
    module.bert_pack_inputs = bert_pack_inputs
    module.variables, module.trainable_variables = [], []
    module.regularization_losses = []
    tf.saved_model.save(module, str(folder), signatures={"serving_default": call})
