"""Settings as frozen dataclasses: how images enter, what a model is, how it is trained."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tftune.atomic import write_text
from tftune.display import Displayed, Table
from tftune.errors import ConfigError, ModelFileError, check_choice

RESIZE_METHODS = ("bilinear", "mediapipe", "pad", "crop")
OPTIMIZERS = ("adamw", "adam", "sgd")
SCHEDULES = ("warmup_cosine", "constant")
CACHE_MODES = ("disk", "off")
TASKS = ("multiclass", "multilabel", "regression")
PHASE_NAMES = ("feature_extraction", "fine_tuning")

Unfreeze = str | int | float
"""What of the backbone trains: "none", "all", a number of top stages, a share of its
parameters in (0, 1), or the name of the lowest stage to unfreeze."""


@dataclass(frozen=True)
class ImageInput:
    """The resize contract: how any image becomes the model's input.

    Attributes:
        image_size: (height, width) in pixels.
        resize: how pixels are resampled. "bilinear" is `tf.image.resize` with antialiasing, aspect
            ratio not kept; "mediapipe" is what MediaPipe does on phones: bilinear without
            antialiasing, at positions rounded to 1/32 pixel; "pad" keeps the aspect ratio and fills
            the rest with the background; "crop" keeps the aspect ratio and cuts the centre out.
        background: RGB in [0, 255], shown behind transparent pixels and around padded images.
    """

    image_size: tuple[int, int]
    resize: str = "bilinear"
    background: tuple[int, int, int] = (255, 255, 255)

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_size", tuple(int(side) for side in self.image_size))
        if len(self.image_size) != 2 or min(self.image_size) < 1:
            raise ConfigError(
                "`image_size` must be (height, width) in pixels, both at least 1. "
                f"Received: {self.image_size}."
            )
        check_choice("resize", self.resize, RESIZE_METHODS)
        colour = tuple(self.background)
        if len(colour) != 3 or not all(int(c) == c and 0 <= c <= 255 for c in colour):
            raise ConfigError(
                "`background` must be three whole numbers in [0, 255], red, green and blue. "
                f"Received: {self.background!r}."
            )
        object.__setattr__(self, "background", tuple(int(c) for c in colour))


@dataclass(frozen=True)
class HeadSpec:
    """One head: what it answers and where its layers are.

    Attributes:
        name: the target it predicts.
        task: "multiclass", "multilabel" or "regression".
        class_names: one per output, in the order of the logits.
        logits_layer: name of the layer that gives the logits (for regression, scaled values).
        output_layer: name of the layer that gives probabilities (for regression, the values).
        offset: for regression, what the logits 0 mean, one a quantity; empty otherwise.
        scale: for regression, what a step of 1 in the logits means, one a quantity.
    """

    name: str
    task: str
    class_names: tuple[str, ...]
    logits_layer: str
    output_layer: str
    offset: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("class_names", "offset", "scale"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        check_choice("task", self.task, TASKS)


@dataclass(frozen=True)
class ModelSpec:
    """What a TransferModel is, beside its weights; stored inside the `.keras` file.

    Attributes:
        preset: name of the backbone's preset.
        image_input: the resize contract.
        features_layer: name of the backbone's last layer in the Keras graph.
        pooled_layer: name of the layer whose output the heads share.
        heads: one a target; most models have one.
    """

    preset: str
    image_input: ImageInput
    features_layer: str
    pooled_layer: str
    heads: tuple[HeadSpec, ...]

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
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ModelSpec:
        """Rebuild what `to_json` wrote."""
        fields = dict(value)
        fields["image_input"] = ImageInput(**fields["image_input"])
        fields["heads"] = tuple(HeadSpec(**head) for head in fields["heads"])
        return cls(**fields)


@dataclass(frozen=True)
class Phase:
    """One stretch of training with a fixed set of trainable layers.

    Attributes:
        name: "feature_extraction" or "fine_tuning".
        unfreeze: what of the backbone trains; see `Unfreeze`.
        epochs: passes over the training split, at most.
        learning_rate: the peak of the schedule.
        batch_size: examples a step.
        optimizer: "adamw", "adam" or "sgd" (with momentum 0.9).
        schedule: "warmup_cosine" (linear rise over the first tenth of the steps, then a cosine
            to zero) or "constant".
        weight_decay: decoupled weight decay, applied by every optimizer.
        patience: epochs without a better validation loss before the phase ends; 0 never does.
        start_from_probe: initialise the head with a logistic regression on the cached features.
    """

    name: str
    unfreeze: Unfreeze
    epochs: int
    learning_rate: float
    batch_size: int = 32
    optimizer: str = "adamw"
    schedule: str = "warmup_cosine"
    weight_decay: float = 1e-4
    patience: int = 0
    start_from_probe: bool = False

    def __post_init__(self) -> None:
        problems = []
        for argument, choices in (
            ("name", PHASE_NAMES),
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
        ):
            try:
                check_choice(argument, getattr(self, argument), choices)
            except ConfigError as error:
                problems.append(str(error))
        for argument, lowest in (
            ("epochs", 0),
            ("batch_size", 1),
            ("weight_decay", 0),
            ("patience", 0),
        ):
            value = getattr(self, argument)
            if not value >= lowest:  # also refuses NaN
                problems.append(f"`{argument}` must be at least {lowest}. Received: {value!r}.")
        if not self.learning_rate > 0:
            problems.append(f"`learning_rate` must be above 0. Received: {self.learning_rate!r}.")
        if problems:
            raise ConfigError(" ".join(problems))


@dataclass(frozen=True)
class Plan(Displayed):
    """Everything `fine_tune` will do, printable and recorded with every run.

    Attributes:
        phases: in the order they run.
        seed: seeds the order of examples, dropout and augmentation.
        cache: "disk" keeps the activations at the freeze boundary in the cache and trains from
            them; "off" runs the whole network in every step.
        cache_dtype: how boundary activations are stored, "float32" or "float16".
        batch_norm: "frozen": BatchNormalization keeps its pretrained statistics and weights in
            every phase, which is what makes training from the cache exact.
        reasons: why a setting was chosen, by name.
        stages: for each phase, the stages that train, as the model names them.
    """

    phases: tuple[Phase, ...]
    seed: int = 0
    cache: str = "disk"
    cache_dtype: str = "float32"
    batch_norm: str = "frozen"
    reasons: Mapping[str, str] = field(default_factory=dict)
    stages: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "phases", tuple(self.phases))
        if not self.phases:
            raise ConfigError("`phases` must hold at least one Phase. Received: none.")
        check_choice("cache", self.cache, CACHE_MODES)
        check_choice("cache_dtype", self.cache_dtype, ("float32", "float16"))
        check_choice("batch_norm", self.batch_norm, ("frozen",))

    def replace(self, **changes: Any) -> Plan:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Plan:
        """Rebuild what `to_json` wrote.

        Raises:
            ConfigError: if a field is missing, unknown or invalid.
        """
        fields = dict(value)
        try:
            fields["phases"] = tuple(Phase(**phase) for phase in fields["phases"])
            fields["stages"] = tuple(tuple(names) for names in fields.get("stages", ()))
            return cls(**fields)
        except (KeyError, TypeError) as error:
            raise ConfigError(f"This is not a plan that tftune wrote: {error}.") from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan as JSON."""
        write_text(path, json.dumps(self.to_json(), indent=2) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Plan:
        """Read a plan that `save` wrote.

        Raises:
            ModelFileError: if the file is missing or is not JSON.
            ConfigError: if it is JSON but not a plan.
        """
        try:
            value = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ModelFileError(f"No plan could be read from {str(path)!r}: {error}.") from error
        return cls.from_json(value)

    def sections(self) -> list[str | Table]:
        """Say what will be trained, at which rates, and why."""
        rows = []
        for index, phase in enumerate(self.phases):
            trained = ", ".join((*self.stages[index], "head")) if self.stages else phase.unfreeze
            rows.append(
                (
                    index + 1,
                    phase.name,
                    trained,
                    phase.epochs,
                    f"{phase.learning_rate:g}",
                    phase.optimizer,
                    phase.batch_size,
                )
            )
        columns = ("", "phase", "trains", "epochs", "rate", "optimizer", "batch")
        lines: list[str | Table] = [Table(columns, rows, title="Plan")]
        lines.append(
            f"BatchNormalization {self.batch_norm}; cache {self.cache} ({self.cache_dtype}); "
            f"seed {self.seed}."
        )
        lines.extend(f"{name}: {reason}" for name, reason in self.reasons.items())
        return lines
