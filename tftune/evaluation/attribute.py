"""Which words of a text speak for an answer, by leaving them out."""

from __future__ import annotations

import re

import numpy as np

from tftune.builders.heads import by_head
from tftune.builders.model_inputs import texts_as_input
from tftune.builders.transfer_model import TransferModel
from tftune.config.text_input import TextInput
from tftune.errors import ConfigError
from tftune.evaluation.explained import explained_class, explained_head
from tftune.results.attribution import Attribution

_BATCH = 32
_WORD = re.compile(r"\s*\S+")


def attribute_words(
    model: TransferModel,
    text: str,
    class_name: str | None = None,
    *,
    head: str | None = None,
    most_parts: int = 200,
) -> Attribution:
    """Measure how much each word of a text speaks for a class.

    Each word is left out in turn and the model is asked again; the word's value is how far the
    class's logit falls. This holds for any encoder, whatever its tokens are, and what is measured
    is the model itself, not a gradient of it.

    Args:
        model: a model of single texts.
        text: what to explain.
        class_name: the class, label or quantity to explain; the most probable one by default.
        head: which head, of several; the first by default.
        most_parts: of a longer text neighbouring words are left out together, so that the model is
            asked at most this often.

    Returns:
        The parts of the text with their values.

    Raises:
        ConfigError: if the model does not read single texts, there is no such class or head, or
            the text holds no word.

    References:
        Li et al. 2016, "Understanding neural networks through representation erasure",
        https://arxiv.org/abs/1612.08220.
    """
    contract = model.contract
    if not isinstance(contract, TextInput) or contract.num_texts != 1:
        reads = "pairs of texts" if isinstance(contract, TextInput) else "images"
        raise ConfigError(f"`model` must read single texts. Received: one that reads {reads}.")
    spec = explained_head(model, head, class_name)
    parts = _parts(text, most_parts)
    logits = model.logits_model(texts_as_input([text], contract))
    place, probability = explained_class(model, spec, logits, class_name)
    whole = np.asarray(by_head(model.heads, logits)[spec.name])[0, place]
    values = []
    without = ["".join(parts[:i] + parts[i + 1 :]) for i in range(len(parts))]
    for start in range(0, len(without), _BATCH):
        strings = texts_as_input(without[start : start + _BATCH], contract)
        rows = np.asarray(by_head(model.heads, model.logits_model(strings))[spec.name])
        values.append(whole - rows[:, place])
    return Attribution(
        parts=tuple(parts),
        values=np.concatenate(values).astype(np.float32),
        class_name=spec.class_names[place],
        probability=probability,
    )


def _parts(text: str, most: int) -> list[str]:
    """Cut a text into words, each with the white space before it; neighbours join in a long one."""
    words = _WORD.findall(text)
    if not words:
        raise ConfigError(f"`text` must hold a word. Received: {text[:80]!r}.")
    cuts = np.linspace(0, len(words), min(len(words), max(1, most)) + 1).round().astype(int)
    return ["".join(words[a:b]) for a, b in zip(cuts, cuts[1:], strict=False)]
