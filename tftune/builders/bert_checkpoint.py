"""Reading a BERT-family checkpoint in the form Hugging Face's libraries write it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tftune.builders.bert_math import ACTIVATIONS, BertShape
from tftune.errors import ConfigError, WeightsError

FAMILIES = ("bert", "distilbert")
_FILES = ("config.json", "vocab.txt", "model.safetensors")

# The layers our weights belong to, against the checkpoint's names.
_BERT = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention_output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
    "output_norm": "output.LayerNorm",
}
_DISTILBERT = {
    "query": "attention.q_lin",
    "key": "attention.k_lin",
    "value": "attention.v_lin",
    "attention_output": "attention.out_lin",
    "attention_norm": "sa_layer_norm",
    "intermediate": "ffn.lin1",
    "output": "ffn.lin2",
    "output_norm": "output_layer_norm",
}


@dataclass(frozen=True, eq=False)
class BertCheckpoint:
    """A BERT encoder with all that using it needs.

    Attributes:
        name: what to call it: the folder's name.
        shape: its sizes.
        vocabulary: tokens in the order of their ids.
        lowercase: whether its tokenizer lowercases and strips accents.
        pooling: how its sentence vector is made: "mean", "max", "cls" or "pooler".
        normalize: whether the sentence vector has length 1.
        sequence_length: tokens it is meant to read at most.
        weights: float32 arrays by stage ("embeddings", "layer_0" ..., "pooler") and name.
    """

    name: str
    shape: BertShape
    vocabulary: tuple[str, ...]
    lowercase: bool
    pooling: str
    normalize: bool
    sequence_length: int
    weights: Mapping[str, Mapping[str, np.ndarray]]


def read_checkpoint(path: str | os.PathLike[str], pooling: str | None = None) -> BertCheckpoint:
    """Read a checkpoint's folder.

    Args:
        path: holds `config.json`, `vocab.txt` and `model.safetensors`; `tokenizer_config.json`,
            `modules.json` and the configuration of pooling are read where they are there.
        pooling: instead of what the files say.

    Raises:
        WeightsError: if a file is missing, damaged, or weights are missing or of other shapes.
        ConfigError: if the network is of a family or has a setting that cannot be converted, or
            safetensors is not installed.
    """
    folder = Path(path)
    _check_files(folder)
    config = _read_json(folder / "config.json")
    family = config.get("model_type", "bert")
    _check_config(config, family, folder)
    shape = _shape_of(config, family)
    vocabulary = tuple(_read_vocabulary(folder / "vocab.txt"))
    if len(vocabulary) > shape.vocabulary_size:
        raise WeightsError(
            f"{str(folder)!r} has {len(vocabulary)} tokens in vocab.txt, but embeddings of "
            f"{shape.vocabulary_size}. They belong to different models."
        )
    tensors = _read_tensors(folder / "model.safetensors")
    weights = _weights_of(tensors, shape, family, folder)
    how, normalize = _pooling_of(folder, pooling)
    tokenizer = _optional_json(folder / "tokenizer_config.json")
    longest = _optional_json(folder / "sentence_bert_config.json").get("max_seq_length")
    return BertCheckpoint(
        name=folder.resolve().name,
        shape=shape,
        vocabulary=vocabulary,
        lowercase=bool(tokenizer.get("do_lower_case", True)),
        pooling=how,
        normalize=normalize,
        sequence_length=min(int(longest or shape.max_length), shape.max_length),
        weights=weights,
    )


def _check_files(folder: Path) -> None:
    if not folder.is_dir():
        raise WeightsError(f"`path` must be a checkpoint's folder. Received: {str(folder)!r}.")
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        found = sorted(entry.name for entry in folder.iterdir())[:12]
        hint = ""
        if "model.safetensors" in missing and any(name.endswith(".bin") for name in found):
            hint = " Save the weights in the safetensors format first."
        elif "vocab.txt" in missing and {"merges.txt", "sentencepiece.bpe.model"} & set(found):
            hint = " Its tokenizer is not BERT's WordPiece, which is the only one converted."
        raise WeightsError(
            f"{str(folder)!r} must hold {', '.join(_FILES)}. Missing: {', '.join(missing)}. "
            f"Found: {', '.join(found) or 'nothing'}.{hint}"
        )


def _check_config(config: Mapping[str, Any], family: str, folder: Path) -> None:
    if family not in FAMILIES:
        raise ConfigError(
            f"`path` must hold a model of the family {' or '.join(map(repr, FAMILIES))}. "
            f"{str(folder)!r} is of the family {family!r}, which differs from BERT in more than "
            "its weights."
        )
    problems = []
    position = config.get("position_embedding_type", "absolute")
    if position != "absolute" or config.get("sinusoidal_pos_embds"):
        problems.append(f"its position embeddings are {position!r}, not learned and absolute")
    if config.get("is_decoder"):
        problems.append("it is a decoder")
    activation = config.get("hidden_act", config.get("activation", "gelu"))
    if activation not in ACTIVATIONS:
        problems.append(f"its activation {activation!r} is none of {', '.join(ACTIVATIONS)}")
    if problems:
        raise ConfigError(f"{str(folder)!r} cannot be converted: {'; '.join(problems)}.")


def _shape_of(config: Mapping[str, Any], family: str) -> BertShape:
    distilled = family == "distilbert"
    try:
        return BertShape(
            vocabulary_size=int(config["vocab_size"]),
            hidden_size=int(config["dim" if distilled else "hidden_size"]),
            num_layers=int(config["n_layers" if distilled else "num_hidden_layers"]),
            num_heads=int(config["n_heads" if distilled else "num_attention_heads"]),
            intermediate_size=int(config["hidden_dim" if distilled else "intermediate_size"]),
            max_length=int(config.get("max_position_embeddings", 512)),
            num_segments=0 if distilled else int(config.get("type_vocab_size", 2)),
            epsilon=float(config.get("layer_norm_eps", 1e-12)),
            activation=config.get("activation" if distilled else "hidden_act", "gelu"),
            dropout=float(config.get("dropout" if distilled else "hidden_dropout_prob", 0.1)),
            attention_dropout=float(
                config.get("attention_dropout" if distilled else "attention_probs_dropout_prob", 0)
            ),
        )
    except KeyError as error:
        raise WeightsError(f"config.json lacks {error}.") from error


def _pooling_of(folder: Path, wanted: str | None) -> tuple[str, bool]:
    """Read how sentence vectors are made; the mean of the tokens where nothing says so."""
    modules = _read_json(folder / "modules.json") if (folder / "modules.json").is_file() else []
    kinds = {str(module.get("type", "")).rpartition(".")[2]: module for module in modules}
    if wanted:
        return wanted, "Normalize" in kinds
    unknown = sorted(set(kinds) - {"Transformer", "Pooling", "Normalize"})
    if unknown:
        raise ConfigError(
            f"{str(folder)!r} makes its vectors with {', '.join(unknown)} (modules.json), which is "
            "not converted. Give `pooling` to leave that out."
        )
    place = kinds.get("Pooling", {}).get("path", "1_Pooling")
    config = _optional_json(folder / place / "config.json")
    chosen = sorted(name for name, on in config.items() if name.startswith("pooling_mode") and on)
    known = {
        "pooling_mode_mean_tokens": "mean",
        "pooling_mode_max_tokens": "max",
        "pooling_mode_cls_token": "cls",
    }
    if isinstance(config.get("pooling_mode"), str):  # newer files name it
        chosen = [f"pooling_mode_{config['pooling_mode']}"]
        known |= {f"pooling_mode_{how}": how for how in ("mean", "max", "cls")}
    if not chosen:
        return "mean", "Normalize" in kinds
    if len(chosen) > 1 or chosen[0] not in known:
        raise ConfigError(f"{str(folder)!r} pools by {', '.join(chosen)}, which is not converted.")
    return known[chosen[0]], "Normalize" in kinds


def _weights_of(
    tensors: Mapping[str, np.ndarray], shape: BertShape, family: str, folder: Path
) -> dict[str, dict[str, np.ndarray]]:
    # A model saved with a head has the encoder under a prefix; very old ones name norms otherwise.
    plain = {re.sub(r"^(bert|distilbert)\.", "", name): value for name, value in tensors.items()}
    plain = {
        re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name): value
        for name, value in plain.items()
    }
    plain = {
        re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name): value for name, value in plain.items()
    }
    distilled = family == "distilbert"
    stages = shape.weights_by_stage("pooler.dense.weight" in plain)
    found: dict[str, dict[str, np.ndarray]] = {}
    for stage, shapes in stages.items():
        found[stage] = {}
        for name, size in shapes.items():
            source = _source(stage, name, distilled)
            if source not in plain:
                raise WeightsError(f"{str(folder)!r} lacks the weights {source!r}.")
            value = plain[source]
            if name.endswith("kernel"):
                value = value.T  # a torch dense layer is (outputs, inputs)
            if value.shape != size:
                raise WeightsError(
                    f"The weights {source!r} of {str(folder)!r} must have shape {size}, as "
                    f"config.json says. Found: {value.shape}."
                )
            found[stage][name] = np.ascontiguousarray(value, dtype=np.float32)
    return found


def _source(stage: str, name: str, distilled: bool) -> str:
    """Return the checkpoint's name of a weight."""
    layer, _, kind = name.rpartition("_")
    part = "weight" if kind in ("kernel", "gamma") else "bias"
    if stage == "pooler":
        return f"pooler.dense.{'weight' if name == 'kernel' else 'bias'}"
    if stage == "embeddings":
        if layer == "norm":
            return f"embeddings.LayerNorm.{part}"
        own = "token_type_embeddings" if name == "segment_embeddings" else name
        return f"embeddings.{own}.weight"
    number = stage.removeprefix("layer_")
    if distilled:
        return f"transformer.layer.{number}.{_DISTILBERT[layer]}.{part}"
    return f"encoder.layer.{number}.{_BERT[layer]}.{part}"


def _read_tensors(file: Path) -> dict[str, np.ndarray]:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise ConfigError(
            "Reading model.safetensors needs the package safetensors: pip install 'tftune[text]'."
        ) from error
    try:
        return load_file(file)
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise WeightsError(f"{str(file)!r} cannot be read: {error}.") from error


def _read_vocabulary(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise WeightsError(f"{str(file)!r} is not UTF-8: {error}.") from error
    while lines and not lines[-1].strip():
        lines.pop()
    return [line.rstrip("\r") for line in lines]


def _optional_json(file: Path) -> dict[str, Any]:
    found = _read_json(file) if file.is_file() else {}
    return found if isinstance(found, dict) else {}


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{str(file)!r} cannot be read: {error}.") from error
