"""What a head's outputs say of one example, in the words of the data."""

from __future__ import annotations

from typing import Any

import numpy as np

from tftune.config.model_spec import TAGS, HeadSpec
from tftune.data.entities import OUTSIDE, entities_of


def answer_of(head: HeadSpec, row: np.ndarray, example: Any = None) -> dict[str, Any]:
    """Say what a head's outputs mean.

    Args:
        head: which gave them.
        row: the outputs for one example.
        example: for a head of tags, the text.

    Returns:
        Class names with probabilities, most probable first; for regression values by name; for
        tags `words`, `tags`, `probabilities` (of each word's tag) and `entities`: for each its
        `type`, `text`, and the places of its `first` and `last` word.
    """
    if head.task == TAGS:
        return _tagged(head, row, example)
    if head.task == "regression":
        order = np.arange(len(row))
    else:
        order = np.argsort(-row, kind="stable")
    return {head.class_names[index]: float(row[index]) for index in order}


def _tagged(head: HeadSpec, row: np.ndarray, text: str) -> dict[str, Any]:
    # As the tokenizer splits: at white space of ASCII alone.
    words = [word.decode("utf-8", "replace") for word in text.encode("utf-8", "replace").split()]
    read = [row[place] for place in range(min(len(words), len(row))) if row[place].any()]
    tags = [head.class_names[int(scores.argmax())] for scores in read]
    # What lies behind the longest text that is read belongs to nothing.
    tags += [OUTSIDE] * (len(words) - len(tags))
    probabilities = [float(scores.max()) for scores in read]
    return {
        "words": words,
        "tags": tags,
        "probabilities": probabilities + [0.0] * (len(words) - len(read)),
        "entities": [
            {"type": kind, "text": " ".join(words[first : last + 1]), "first": first, "last": last}
            for kind, first, last in entities_of(tags)
        ],
    }
