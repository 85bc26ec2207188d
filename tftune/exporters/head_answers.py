"""What a server answers for each head, and under which names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from tftune.config.model_spec import TAGS, HeadSpec


def head_slugs(heads: Sequence[HeadSpec]) -> dict[str, str]:
    """Return a name for each head that any file system, protocol and language takes.

    Returns:
        By head name, in the heads' order; the slugs differ from one another.
    """
    plain = [re.sub(r"\W+", "_", head.name, flags=re.ASCII).strip("_") for head in heads]
    often = Counter(plain)
    return {
        head.name: slug if often[slug] == 1 and slug else f"{slug}_{number}".lstrip("_")
        for number, (head, slug) in enumerate(zip(heads, plain, strict=True), start=1)
    }


def answer_keys(heads: Sequence[HeadSpec]) -> dict[str, str]:
    """Return the name of the served tensor that holds each head's answers.

    Returns:
        By head name: "probabilities" or "values"; with several heads "<slug>_probabilities" or
        "<slug>_values".
    """
    slugs = head_slugs(heads)
    keys = {}
    for head in heads:
        kind = "values" if head.task == "regression" else "probabilities"
        keys[head.name] = kind if len(heads) == 1 else f"{slugs[head.name]}_{kind}"
    return keys


def served_answers(heads: Sequence[HeadSpec], outputs: Any) -> dict[str, tf.Tensor]:
    """Name a network's outputs for a server, with what they mean beside them.

    Args:
        heads: the model's heads.
        outputs: what the network gives: for one head a tensor of shape (batch, num_outputs), for
            several a dictionary of them by head name.

    Returns:
        For a multiclass head `probabilities` and the same as `scores`, `classes` (all names, shape
        (batch, num_classes)) and `label` (the most probable, shape (batch,)); for multilabel these
        without `label`; for regression `values` and `names`; for tags of words `probabilities`
        (batch, words, num_classes), `classes` and `tags` (batch, words), empty where there is no
        word. Several heads have their slug before each name.
    """
    slugs, keys = head_slugs(heads), answer_keys(heads)
    served: dict[str, tf.Tensor] = {}
    for head in heads:
        prefix = "" if len(heads) == 1 else f"{slugs[head.name]}_"
        rows = outputs[head.name] if isinstance(outputs, Mapping) else outputs
        names = tf.constant(list(head.class_names))
        if head.task == TAGS:
            best = tf.gather(names, tf.argmax(rows, axis=-1))
            read = tf.reduce_any(rows > 0, axis=-1)
            served[keys[head.name]] = rows
            served[f"{prefix}tags"] = tf.where(read, best, tf.zeros_like(best))
            served[f"{prefix}classes"] = tf.tile(names[tf.newaxis], [tf.shape(rows)[0], 1])
            continue
        repeated = tf.tile(names[tf.newaxis], [tf.shape(rows)[0], 1])
        served[keys[head.name]] = rows
        if head.task == "regression":
            served[f"{prefix}names"] = repeated
            continue
        served[f"{prefix}scores"] = tf.identity(rows)
        served[f"{prefix}classes"] = repeated
        if head.task == "multiclass":
            served[f"{prefix}label"] = tf.gather(names, tf.argmax(rows, axis=-1))
    return served
