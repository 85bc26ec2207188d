"""What a model is, beside its weights: its backbone, its input and its heads."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tftune.config.image_input import ImageInput
from tftune.config.text_input import TextInput
from tftune.errors import ConfigError, check_choice

TASKS = ("multiclass", "multilabel", "regression")
TAGS = "tags"
"""A class for every word of a text; such a head is alone."""


@dataclass(frozen=True)
class HeadSpec:
    """One head: what it answers and where its layers are.

    Attributes:
        name: the target it predicts.
        task: "multiclass", "multilabel", "regression" or "tags".
        class_names: one per output, in the order of the logits.
        logits_layer: name of the layer that gives the logits (for regression, scaled values).
        output_layer: name of the layer that gives probabilities (for regression, the values).
        offset: for regression, what the logits 0 mean, one a quantity; empty otherwise.
        scale: for regression, what a step of 1 in the logits means, one a quantity.
        ordered: whether the classes of a multiclass head are steps of a scale, the lowest first.
    """

    name: str
    task: str
    class_names: tuple[str, ...]
    logits_layer: str
    output_layer: str
    offset: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    ordered: bool = False

    def __post_init__(self) -> None:
        for name in ("class_names", "offset", "scale"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        check_choice("task", self.task, (*TASKS, TAGS))


@dataclass(frozen=True)
class ModelSpec:
    """What a TransferModel is, beside its weights; stored inside the `.keras` file.

    Attributes:
        preset: name of the backbone's preset.
        contract: how an image or text becomes the model's input.
        features_layer: name of the backbone's last layer in the Keras graph.
        pooled_layer: name of the layer whose output the heads share.
        heads: one a target; most models have one.
        pretrained: whether the backbone knows anything before it is trained.
    """

    preset: str
    contract: ImageInput | TextInput
    features_layer: str
    pooled_layer: str
    heads: tuple[HeadSpec, ...]
    pretrained: bool = True

    @property
    def image_contract(self) -> ImageInput:
        """The contract of a model of images.

        Raises:
            ConfigError: if the model reads texts.
        """
        if isinstance(self.contract, TextInput):
            raise ConfigError("This works with models of images. The model reads texts.")
        return self.contract

    @property
    def task(self) -> str:
        """The first head's task."""
        return self.heads[0].task

    @property
    def class_names(self) -> tuple[str, ...]:
        """The first head's class names."""
        return self.heads[0].class_names

    @property
    def logits_layer(self) -> str:
        """The first head's logits layer."""
        return self.heads[0].logits_layer

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        kind = "text" if isinstance(self.contract, TextInput) else "image"
        return {**dataclasses.asdict(self), "input": kind}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ModelSpec:
        """Rebuild what `to_json` wrote."""
        fields = dict(value)
        kind = TextInput if fields.pop("input") == "text" else ImageInput
        fields["contract"] = kind(**fields["contract"])
        fields["heads"] = tuple(HeadSpec(**head) for head in fields["heads"])
        return cls(**fields)
