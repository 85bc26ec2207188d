"""SearchSpace: what a search may change, and between which ends."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tftune.builders.transfer_model import TransferModel
from tftune.config.phase import PHASE_NAMES, Phase
from tftune.config.plan import Plan
from tftune.config.text_input import TextInput
from tftune.data.dataset import Dataset
from tftune.display import Displayed, Table
from tftune.errors import ConfigError, ModelFileError, did_you_mean
from tftune.training.plan import default_unfreeze
from tftune.tuning.ranges import (
    Choice,
    Float,
    decoded,
    is_range,
    range_from_json,
    range_to_json,
)

_BOTH = tuple(PHASE_NAMES)
# What each field sets: a setting of the head, of a phase or of the whole plan.
_SETS = {
    "backbone": ("backbone",),
    "hidden": ("head.hidden",),
    "activation": ("head.activation",),
    "dropout": ("head.dropout",),
    "pooling": ("head.pooling",),
    "augment": ("plan.augment",),
    "label_smoothing": tuple(f"{phase}.label_smoothing" for phase in _BOTH),
    "optimizer": tuple(f"{phase}.optimizer" for phase in _BOTH),
    "weight_decay": tuple(f"{phase}.weight_decay" for phase in _BOTH),
    "batch_size": tuple(f"{phase}.batch_size" for phase in _BOTH),
    "head_rate": ("feature_extraction.learning_rate",),
    "head_epochs": ("feature_extraction.epochs",),
    "fine_tune_rate": ("fine_tuning.learning_rate",),
    "layer_decay": ("fine_tuning.layer_decay",),
    "unfreeze": ("fine_tuning.unfreeze",),
    "fine_tune_epochs": ("fine_tuning.epochs",),
}
_OF_FINE_TUNING = ("fine_tune_rate", "layer_decay", "unfreeze", "fine_tune_epochs")
_KNOWN = {
    "head": ("hidden", "activation", "dropout", "pooling"),
    **{name: tuple(f.name for f in dataclasses.fields(Phase)) for name in PHASE_NAMES},
    "plan": tuple(f.name for f in dataclasses.fields(Plan) if f.name != "phases"),
}
_STEPS_AN_EPOCH = 8


@dataclass(frozen=True)
class SearchSpace(Displayed):
    """What a search may change. Each field is a range (`Choice`, `Float`, `Int`) or a value.

    A value pins the field; None leaves what the model has and the default plan says.

    Attributes:
        backbone: names of backbones; those of the models that are searched need no other source,
            another preset is built with its ImageNet weights.
        hidden: units of the head's hidden layers: `Choice((), (256,))`.
        activation: of the hidden layers.
        dropout: before every layer of the head.
        pooling: "average", "max" or "concat"; several cost one more pass through the backbone.
        augment: policies for training images, such as `Choice("none", "light")`; each costs a pass
            a view.
        label_smoothing: see `Phase`, as all that follow.
        optimizer: of both phases.
        weight_decay: of both phases.
        batch_size: of both phases.
        head_rate: the first phase's learning rate.
        head_epochs: the first phase's epochs.
        fine_tune_rate: the second phase's learning rate.
        layer_decay: of the second phase.
        unfreeze: what of the backbone the second phase trains.
        fine_tune_epochs: the second phase's epochs.
        extra: any other setting by a name that says what it sets, to a range, a value or a
            hyperparameter of keras-tuner: "feature_extraction.ema", "fine_tuning.l2_sp",
            "plan.cache_dtype", "head.activation".
    """

    backbone: Any = None
    hidden: Any = ()
    activation: Any = None
    dropout: Any = Float(0.0, 0.5)
    pooling: Any = None
    augment: Any = None
    label_smoothing: Any = Choice(0.0, 0.1)
    optimizer: Any = Choice("adamw", "sgd")
    weight_decay: Any = Float(1e-5, 1e-1, log=True)
    batch_size: Any = Choice(16, 32, 64)
    head_rate: Any = Float(1e-4, 1e-2, log=True)
    head_epochs: Any = None
    fine_tune_rate: Any = Float(3e-5, 1e-3, log=True)
    layer_decay: Any = Choice(1.0, 0.8, 0.6)
    unfreeze: Any = None
    fine_tune_epochs: Any = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "extra", dict(self.extra))
        for name in self.extra:
            owner, _, setting = name.partition(".")
            if owner not in _KNOWN or setting not in _KNOWN[owner]:
                names = [f"{o}.{s}" for o, settings in _KNOWN.items() for s in settings]
                raise ConfigError(
                    "`extra` must name settings as 'head.', 'feature_extraction.', 'fine_tuning.' "
                    f"or 'plan.' and the setting. Received: {name!r}.{did_you_mean(name, names)}"
                )

    @classmethod
    def for_data(cls, model: TransferModel, data: Dataset, **changes: Any) -> SearchSpace:
        """Return a space that suits a task and an amount of data.

        Few examples bear neither hidden layers nor large batches; numbers to predict have no labels
        to smooth; how many stages may be unfrozen follows from the backbone.

        Args:
            model: what will be trained.
            data: what it will be trained on.
            changes: fields to set otherwise.
        """
        count = len(data.train)
        sizes = [size for size in (16, 32, 64, 128, 256) if count >= size * _STEPS_AN_EPOCH]
        most = default_unfreeze(model)
        stages = sorted({1, (most + 1) // 2, most})
        chosen: dict[str, Any] = {
            "batch_size": Choice(*sizes) if len(sizes) > 1 else (sizes or [8])[0],
            "unfreeze": Choice(*stages) if len(stages) > 1 else stages[0],
        }
        if count >= 5000:
            chosen["hidden"] = Choice((), (256,), (512, 256))
        elif count >= 200:
            chosen["hidden"] = Choice((), (256,))
        if all(head.task == "regression" for head in model.heads):
            chosen["label_smoothing"] = 0.0
        if not model.spec.pretrained:
            chosen["fine_tune_rate"] = Float(1e-3, 1e-1, log=True)
            chosen["layer_decay"] = 1.0
        elif isinstance(model.contract, TextInput):
            chosen["fine_tune_rate"] = Float(1e-5, 1e-3, log=True)
        return cls(**{**chosen, **changes})

    def replace(self, **changes: Any) -> SearchSpace:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def ranges(self, fine_tuning: bool) -> dict[str, Any]:
        """Return what is searched, by name: what fine-tuning alone needs, or all else."""
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        given = {**{name: own[name] for name in _SETS}, **self.extra}
        return {
            name: value
            for name, value in given.items()
            if is_range(value) and _is_of_fine_tuning(name) == fine_tuning
        }

    def settings(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Say what to set, given the values that were chosen for ranges.

        Args:
            values: by the names of `ranges`, as keras-tuner gives them; others are not looked at.

        Returns:
            Values by dotted name ("head.dropout", "feature_extraction.learning_rate"); ranges
            without a chosen value and fields that are None are left out.
        """
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        settings = {}
        for name, value in {**{name: own[name] for name in _SETS}, **self.extra}.items():
            if is_range(value):
                if name not in values:
                    continue
                value = decoded(value, values[name])
            if value is not None:
                settings.update(dict.fromkeys(_SETS.get(name, (name,)), value))
        return settings

    def possible(self, name: str) -> tuple[Any, ...]:
        """Return every value that a field may take; only for choices and pinned values."""
        value = getattr(self, name)
        if isinstance(value, Choice):
            return value.values
        return (value,)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        own = {f.name: range_to_json(getattr(self, f.name)) for f in dataclasses.fields(self)}
        return {**own, "extra": {name: range_to_json(v) for name, v in self.extra.items()}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SearchSpace:
        """Rebuild what `to_json` returned.

        Raises:
            ConfigError: if it is not a search space.
        """
        try:
            fields = {name: range_from_json(held) for name, held in value.items()}
            fields["extra"] = {n: range_from_json(v) for n, v in value.get("extra", {}).items()}
            return cls(**fields)
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"This is not a search space that tftune wrote: {error}.") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SearchSpace:
        """Read a space from a JSON file.

        Raises:
            ModelFileError: if the file is missing or is not JSON.
            ConfigError: if it is JSON but not a search space.
        """
        try:
            value = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ModelFileError(
                f"No search space could be read from {str(path)!r}: {error}."
            ) from error
        return cls.from_json(value)

    def sections(self) -> list[str | Table]:
        """List what is searched, then what is pinned."""
        rows = [
            (name, "fine-tuning" if fine_tuning else "head", str(value))
            for fine_tuning in (False, True)
            for name, value in self.ranges(fine_tuning).items()
        ]
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        given = {**{name: own[name] for name in _SETS}, **self.extra}
        pinned = [f"{n} {v!r}" for n, v in given.items() if v is not None and not is_range(v)]
        return [
            Table(("setting", "trials of", "values"), rows, title="Search space"),
            f"Pinned: {', '.join(pinned) or 'nothing'}.",
        ]


def _is_of_fine_tuning(name: str) -> bool:
    return name in _OF_FINE_TUNING or name.startswith("fine_tuning.")
