"""What an export carries about itself, so that it can be used and checked without its model."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tftune.config.model_spec import HeadSpec, ModelSpec
from tftune.exporters.head_answers import head_slugs

SPEC_FILE = "tftune.json"


def label_names(heads: Sequence[HeadSpec]) -> dict[str, str]:
    """Return the name of each head's label file, by head name: "labels.txt" where there is one."""
    if len(heads) == 1:
        return {heads[0].name: "labels.txt"}
    return {name: f"labels_{slug}.txt" for name, slug in head_slugs(heads).items()}


def label_files(heads: Sequence[HeadSpec]) -> dict[str, str]:
    """Return the label files by name: one class, or quantity, a line."""
    names = label_names(heads)
    return {names[head.name]: "\n".join(head.class_names) for head in heads}


def spec_text(spec: ModelSpec) -> str:
    """Return a model's description as JSON."""
    return json.dumps(spec.to_json(), ensure_ascii=False)


def read_spec(text: str | bytes) -> ModelSpec | None:
    """Read what `spec_text` wrote; None if it is not that."""
    try:
        return ModelSpec.from_json(json.loads(text))
    except (ValueError, KeyError, TypeError):
        return None
