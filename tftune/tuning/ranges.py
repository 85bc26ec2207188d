"""Ranges that a hyperparameter may be searched over, and their form in keras-tuner."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras_tuner

from tftune.errors import ConfigError

_PLAIN = (str, bool, int, float)
_KINDS = ("Choice", "Float", "Int", "Boolean", "Fixed")


@dataclass(frozen=True, init=False)
class Choice:
    """One of several values, of any kind that JSON holds: `Choice("adamw", "sgd")`.

    Attributes:
        values: at least two, all different; the first is what a grid starts from.
    """

    values: tuple[Any, ...]

    def __init__(self, *values: Any) -> None:
        object.__setattr__(self, "values", tuple(_frozen(value) for value in values))
        if len(set(map(_text, self.values))) < len(self.values) or len(self.values) < 2:
            raise ConfigError(
                "`Choice` must have at least two different values; write a single value plainly. "
                f"Received: {values}."
            )

    def __repr__(self) -> str:
        return f"Choice({', '.join(map(repr, self.values))})"

    def __str__(self) -> str:
        return " | ".join(shown(value) for value in self.values)

    @property
    def plain(self) -> bool:
        """Whether keras-tuner takes the values as they are: of one plain type."""
        kinds = {type(value) for value in self.values}
        return len(kinds) == 1 and kinds <= set(_PLAIN)


@dataclass(frozen=True)
class Float:
    """A number between two ends, both included.

    Attributes:
        low: the lower end.
        high: the upper end.
        log: whether magnitudes are what counts, as for learning rates; `low` is above 0 then.
        step: the distance of the values that may be taken; any value if None (a grid takes ten).
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        _check_ends(self, self.low, self.high, self.log)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{', by magnitude' if self.log else ''}"


@dataclass(frozen=True)
class Int:
    """A whole number between two ends, both included.

    Attributes:
        low: the lower end.
        high: the upper end.
        log: whether magnitudes are what counts; `low` is above 0 then.
        step: the distance of the values that may be taken.
    """

    low: int
    high: int
    log: bool = False
    step: int = 1

    def __post_init__(self) -> None:
        _check_ends(self, self.low, self.high, self.log)

    def __str__(self) -> str:
        return f"{self.low} to {self.high}{', by magnitude' if self.log else ''}"


Range = Choice | Float | Int | keras_tuner.engine.hyperparameters.HyperParameter
"""What is searched over: one of ours, or any hyperparameter of keras-tuner."""


def is_range(value: Any) -> bool:
    """Tell a range from a pinned value."""
    foreign = keras_tuner.engine.hyperparameters.HyperParameter
    return isinstance(value, (Choice, Float, Int, foreign))


def is_logarithmic(value: Any) -> bool:
    """Tell whether magnitudes are what counts in a range."""
    if isinstance(value, Float | Int):
        return value.log
    return getattr(value, "sampling", None) in ("log", "reverse_log")


def hyperparameter(name: str, value: Any) -> Any:
    """Return a range as a keras-tuner hyperparameter of this name."""
    kinds = keras_tuner.engine.hyperparameters
    if isinstance(value, Choice):
        values = value.values if value.plain else [_text(item) for item in value.values]
        ordered = None if isinstance(values[0], (int, float)) else False
        if isinstance(values[0], bool):
            ordered = False
        return kinds.Choice(name, list(values), ordered=ordered, default=values[0])
    if isinstance(value, Float):
        sampling = "log" if value.log else "linear"
        return kinds.Float(name, value.low, value.high, step=value.step, sampling=sampling)
    if isinstance(value, Int):
        if value.log:
            return kinds.Int(name, value.low, value.high, sampling="log")
        return kinds.Int(name, value.low, value.high, step=value.step)
    return type(value).from_config({**value.get_config(), "name": name})


def as_hyperparameters(ranges: Mapping[str, Any]) -> keras_tuner.HyperParameters:
    """Return ranges by name as keras-tuner takes them."""
    found = keras_tuner.HyperParameters()
    found.merge([hyperparameter(name, value) for name, value in ranges.items()])
    return found


def decoded(value: Any, received: Any) -> Any:
    """Return the value that keras-tuner's `received` stands for in a range."""
    if isinstance(value, Choice) and not value.plain:
        return next(item for item in value.values if _text(item) == received)
    return received


def range_to_json(value: Any) -> Any:
    """Return a range or a pinned value as JSON holds it."""
    if isinstance(value, Choice):
        return {"choice": list(value.values)}
    if isinstance(value, Float | Int):
        return {type(value).__name__.lower(): dict(vars(value))}
    if is_range(value):
        return {"keras_tuner": {"kind": type(value).__name__, **value.get_config()}}
    return value


def range_from_json(value: Any) -> Any:
    """Rebuild what `range_to_json` returned."""
    if not isinstance(value, Mapping) or len(value) != 1:
        return _frozen(value)
    (kind, held), *_ = value.items()
    if kind == "choice":
        return Choice(*held)
    if kind in ("float", "int"):
        return (Float if kind == "float" else Int)(**held)
    if kind == "keras_tuner":
        config = dict(held)
        name = config.pop("kind")
        if name not in _KINDS:
            raise ConfigError(f"keras-tuner has no hyperparameter {name!r}; known are {_KINDS}.")
        return getattr(keras_tuner.engine.hyperparameters, name).from_config(config)
    return _frozen(value)


def shown(value: Any) -> str:
    """Write a value for people: hidden layers as "256-128", none as "none"."""
    if isinstance(value, (list, tuple)):
        return "-".join(map(str, value)) or "none"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, Mapping):
        return str(value.get("class_name", _text(value)))
    return str(value)


def _check_ends(value: Any, low: float, high: float, log: bool) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low < high) or (log and low <= 0):
        rule = "0 < low < high with log=True" if log else "low < high"
        raise ConfigError(
            f"`{type(value).__name__}` must have finite ends with {rule}. Received: {value!r}."
        )


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, (list, tuple)) else value
