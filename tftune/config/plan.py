"""A plan: the phases of a training run, printable and recorded with the run."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tftune.atomic import write_text
from tftune.config.cost import PhaseCost
from tftune.config.phase import Phase
from tftune.display import Displayed, Table, show_seconds, show_size
from tftune.errors import ConfigError, ModelFileError, check_choice

CACHE_MODES = ("disk", "off")
POLICIES = ("none", "light", "medium", "strong")
"""How strongly training images are changed at random; `tftune.Augmentation` says how."""


@dataclass(frozen=True)
class Plan(Displayed):
    """Everything `fine_tune` will do, printable and recorded with every run.

    Attributes:
        phases: in the order they run.
        seed: seeds the order of examples, dropout and augmentation.
        augment: how training images are changed at random: a policy's name, or what
            `tftune.Augmentation.to_json` gives. Validation images never are.
        views: how many views of each training image there are, the image itself being the first;
            epoch after epoch takes the next and then begins again. 0 draws a new one in every epoch
            after the first, which needs `cache="off"`.
        cache: "disk" keeps the activations at the freeze boundary in the cache and trains from
            them; "off" runs the whole network in every step.
        cache_dtype: how boundary activations are stored, "float32" or "float16".
        batch_norm: "frozen": BatchNormalization keeps its pretrained statistics and weights in
            every phase, which is what makes training from the cache exact.
        calibrate: after the last phase, set the temperature on the validation split where that
            lowers the cross-validated loss.
        reasons: why a setting was chosen, by name.
        stages: for each phase, the stages that train, as the model names them.
        costs: for each phase, what it is expected to take; empty where nothing was estimated.
    """

    phases: tuple[Phase, ...]
    seed: int = 0
    augment: str | Mapping[str, Any] = "none"
    views: int = 0
    cache: str = "disk"
    cache_dtype: str = "float32"
    batch_norm: str = "frozen"
    calibrate: bool = False
    reasons: Mapping[str, str] = field(default_factory=dict)
    stages: tuple[tuple[str, ...], ...] = ()
    costs: tuple[PhaseCost, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "phases", tuple(self.phases))
        if not self.phases:
            raise ConfigError("`phases` must hold at least one Phase. Received: none.")
        check_choice("cache", self.cache, CACHE_MODES)
        check_choice("cache_dtype", self.cache_dtype, ("float32", "float16"))
        check_choice("batch_norm", self.batch_norm, ("frozen",))
        if isinstance(self.augment, str):
            check_choice("augment", self.augment, POLICIES)
        self._check_views()

    def _check_views(self) -> None:
        if self.views < 0:
            raise ConfigError(f"`views` must be at least 0. Received: {self.views!r}.")
        if self.augment == "none":
            return
        if self.views == 1:
            raise ConfigError(
                "`views` must be 2 or more where images are augmented, since the first view is the "
                "image itself, or 0 for a new one in every epoch. Received: 1."
            )
        if self.cache == "disk" and self.views == 0:
            raise ConfigError(
                "`views` must be 2 or more with `cache='disk'`, which keeps every view. Received: "
                "0. Say how many, or draw new ones with `cache='off'`."
            )
        mix = "none" if isinstance(self.augment, str) else self.augment.get("mix", "none")
        if self.cache == "disk" and mix != "none":
            raise ConfigError(
                f"`augment` blends images ({mix}), and images are blended anew in every batch, so "
                "it needs `cache='off'`. Received: cache 'disk'."
            )

    @property
    def augmented(self) -> str:
        """The augmentation's name, with how it mixes images if it does."""
        if isinstance(self.augment, str):
            return self.augment
        mix = self.augment.get("mix", "none")
        name = str(self.augment.get("name", "custom"))
        return name if mix == "none" else f"{name} and {mix}"

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
            fields["costs"] = tuple(PhaseCost(**cost) for cost in fields.get("costs", ()))
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
            f"augmentation {self.augmented}{self._told_views()}; seed {self.seed}."
        )
        if self.calibrate:
            lines.append("At the end the temperature is set on validation, where that helps.")
        if self.reasons:
            lines.append(Table(("", ""), [(f"{k}:", why) for k, why in self.reasons.items()]))
        return [*lines, *self._told_costs()]

    def _told_costs(self) -> list[str | Table]:
        if not self.costs:
            return []
        rows = [
            (
                label,
                cost.boundary or "not cut",
                cost.rows,
                cost.cached,
                cost.engine,
                show_size(cost.cache_bytes),
                show_seconds(cost.seconds),
            )
            for label, cost in zip(self.labels, self.costs, strict=False)
        ]
        columns = ("phase", "cut at", "to run", "cached", "engine", "on disk", "time")
        seconds = sum(cost.seconds for cost in self.costs)
        size = sum(cost.cache_bytes for cost in self.costs)
        title = "What it will take, in examples, space and time"
        reasons = dict.fromkeys(
            f"engine {cost.engine}: {cost.reason}" for cost in self.costs if cost.engine
        )
        told = f"In all about {show_seconds(seconds)}"
        told += f"; the cache grows by {show_size(size)}." if size else "; the cache does not grow."
        return [Table(columns, rows, title=title), told, *reasons]

    def _told_views(self) -> str:
        if self.augment == "none":
            return ""
        return f" ({self.views} views)" if self.views else " (online)"


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
