"""Settings as frozen dataclasses: how images enter, what a model is, how it is trained."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tftune.atomic import write_text
from tftune.display import Displayed, Table
from tftune.errors import ConfigError, ModelFileError, check_choice

RESIZE_METHODS = ("bilinear", "mediapipe", "pad", "crop")
OPTIMIZERS = tuple(
    "adamw adam sgd rmsprop nadam adamax adagrad adadelta adafactor lion lamb ftrl muon".split()
)
SCHEDULES = ("warmup_cosine", "constant", "one_cycle", "reduce_on_plateau")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
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
        batch_size: examples a step; "auto" takes a large one and halves it when memory runs out.
        optimizer: the name of a Keras optimizer ("sgd" has momentum 0.9), or a Keras config:
            `{"class_name": "SGD", "config": {"nesterov": True, "momentum": 0.9}}`. Rate, weight
            decay, clipping and averaging always come from the phase.
        schedule: "warmup_cosine" (linear rise over `warm_up`, then a cosine to zero), "constant",
            "one_cycle" (cosine up from a 25th over three tenths of the steps, then down to a
            10,000th) or "reduce_on_plateau" (divided by three after two epochs without a better
            validation loss).
        warm_up: share of the steps in which "warmup_cosine" rises, in [0, 1).
        weight_decay: decoupled weight decay, applied by every optimizer.
        layer_decay: the learning rate of the head's neighbour stage over the head's, of the next
            stage over that one's, and so on down; in (0, 1].
        clip_norm: the gradients' common norm is cut to this; 0 leaves it.
        label_smoothing: share of the probability spread over all classes, in [0, 1).
        ema: momentum of the weights' moving average, which is then what is validated and kept;
            0 keeps the weights themselves.
        l2_sp: strength of the pull towards the weights a backbone layer started the run with; 0
            does not pull.
        class_weights: "balanced" weighs classes by the inverse of their frequency; a mapping gives
            weights by class name (1 where it is silent); None weighs all examples alike.
        precision: "float32", or "mixed_bfloat16" or "mixed_float16" to compute in half precision
            with float32 weights.
        patience: epochs without a better validation loss before the phase ends; 0 never does.
        start_from_probe: initialise the head with a logistic regression on the cached features.
        interpolate: end with the mix of the weights before and after the phase that validates
            best, so that the phase cannot make validation worse.

    References:
        l2_sp: Li et al. 2018, https://arxiv.org/abs/1802.01483. interpolate: Wortsman et al. 2022,
        https://arxiv.org/abs/2109.01903. one_cycle: Smith and Topin 2019,
        https://arxiv.org/abs/1708.07120.
    """

    name: str
    unfreeze: Unfreeze
    epochs: int
    learning_rate: float
    batch_size: int | str = 32
    optimizer: str | Mapping[str, Any] = "adamw"
    schedule: str = "warmup_cosine"
    warm_up: float = 0.1
    weight_decay: float = 1e-4
    layer_decay: float = 1.0
    clip_norm: float = 0.0
    label_smoothing: float = 0.0
    ema: float = 0.0
    l2_sp: float = 0.0
    class_weights: str | Mapping[str, float] | None = None
    precision: str = "float32"
    patience: int = 0
    start_from_probe: bool = False
    interpolate: bool = False

    def __post_init__(self) -> None:
        problems = []
        choices: list[tuple[str, object, Iterable[str]]] = [
            ("name", self.name, PHASE_NAMES),
            ("schedule", self.schedule, SCHEDULES),
            ("precision", self.precision, PRECISIONS),
        ]
        if isinstance(self.optimizer, str):
            choices.append(("optimizer", self.optimizer, OPTIMIZERS))
        elif not isinstance(self.optimizer, Mapping) or "class_name" not in self.optimizer:
            problems.append(
                "`optimizer` must be a name or a Keras config with a 'class_name'. "
                f"Received: {self.optimizer!r}."
            )
        if isinstance(self.class_weights, str):
            choices.append(("class_weights", self.class_weights, ("balanced",)))
        if isinstance(self.batch_size, str):
            choices.append(("batch_size", self.batch_size, ("auto",)))
        for argument, received, valid in choices:
            try:
                check_choice(argument, received, valid)
            except ConfigError as error:
                problems.append(str(error))
        problems.extend(self._numbers_out_of_range())
        if problems:
            raise ConfigError(" ".join(problems))

    def _numbers_out_of_range(self) -> list[str]:
        problems = []
        for argument, lowest in (
            ("epochs", 0),
            ("batch_size", 1),
            ("weight_decay", 0),
            ("clip_norm", 0),
            ("l2_sp", 0),
            ("patience", 0),
        ):
            value = getattr(self, argument)
            if not isinstance(value, str) and not value >= lowest:  # also refuses NaN
                problems.append(f"`{argument}` must be at least {lowest}. Received: {value!r}.")
        for argument in ("warm_up", "label_smoothing", "ema"):
            value = getattr(self, argument)
            if not 0 <= value < 1:
                problems.append(f"`{argument}` must be in [0, 1). Received: {value!r}.")
        if not 0 < self.layer_decay <= 1:
            problems.append(f"`layer_decay` must be in (0, 1]. Received: {self.layer_decay!r}.")
        if not self.learning_rate > 0:
            problems.append(f"`learning_rate` must be above 0. Received: {self.learning_rate!r}.")
        if isinstance(self.class_weights, Mapping) and not all(
            weight >= 0 for weight in self.class_weights.values()
        ):
            problems.append(
                f"`class_weights` must be at least 0. Received: {dict(self.class_weights)}."
            )
        return problems

    def replace(self, **changes: Any) -> Phase:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    @property
    def optimizer_name(self) -> str:
        """The optimizer's name, also where a whole config was given."""
        if isinstance(self.optimizer, str):
            return self.optimizer
        return str(self.optimizer["class_name"]).lower()


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

    @property
    def labels(self) -> tuple[str, ...]:
        """The phases' names, numbered from the second of a name on: "fine_tuning_2"."""
        names = [phase.name for phase in self.phases]
        seen = [names[: index + 1].count(name) for index, name in enumerate(names)]
        return tuple(
            name if count == 1 else f"{name}_{count}"
            for name, count in zip(names, seen, strict=True)
        )

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
                    self.labels[index],
                    trained,
                    phase.epochs,
                    f"{phase.learning_rate:g}",
                    phase.optimizer_name,
                    phase.batch_size,
                )
            )
        columns = ("", "phase", "trains", "epochs", "rate", "optimizer", "batch")
        lines: list[str | Table] = [Table(columns, rows, title="Plan")]
        for label, phase in zip(self.labels, self.phases, strict=True):
            told = _settings_beside_the_table(phase)
            if told:
                lines.append(f"{label}: {', '.join(told)}.")
        lines.append(
            f"BatchNormalization {self.batch_norm}; cache {self.cache} ({self.cache_dtype}); "
            f"seed {self.seed}."
        )
        lines.extend(f"{name}: {reason}" for name, reason in self.reasons.items())
        return lines


_IN_THE_TABLE = ("name", "unfreeze", "epochs", "learning_rate", "optimizer", "batch_size")


def _settings_beside_the_table(phase: Phase) -> list[str]:
    """Name what a phase sets differently from a plain one, as far as the table is silent."""
    told = []
    for setting in dataclasses.fields(phase):
        value = getattr(phase, setting.name)
        if setting.name in _IN_THE_TABLE or value == setting.default:
            continue
        name = setting.name.replace("_", " ")
        told.append(name if value is True else f"{name} {value}")
    return told
