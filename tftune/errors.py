"""Exceptions raised by tftune, and the wording shared by their messages."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path


class TftuneError(Exception):
    """Base of every error tftune raises on purpose; its message is one readable sentence."""


class DataError(TftuneError, ValueError):
    """The examples or labels cannot be used as they are."""


class PresetError(TftuneError, ValueError):
    """A backbone was asked for that the registry does not hold."""


class WeightsError(TftuneError, ValueError):
    """A weights file is missing, unreadable or belongs to another network."""


class ConfigError(TftuneError, ValueError):
    """One or more settings are invalid; the message lists all of them."""


class ShapeError(TftuneError, ValueError):
    """Arrays that must agree in shape do not."""


class SentinelError(TftuneError, RuntimeError):
    """Training moved variables it promised to keep, or kept variables it promised to move."""


class NonFiniteLossError(TftuneError, ArithmeticError):
    """The training loss became NaN or infinite; the model holds the last good weights."""


class ResumeError(TftuneError, RuntimeError):
    """A folder holds an unfinished run of something else than what was asked for."""


class SearchError(TftuneError, RuntimeError):
    """A search has nothing to show: none of its trials ended well."""


class ExportError(TftuneError, RuntimeError):
    """An export could not be written or does not give the model's own answers."""


class ModelFileError(TftuneError, ValueError):
    """A path that should hold a saved tftune model does not."""


class OutputExistsError(TftuneError, FileExistsError):
    """The place to write to is taken and overwriting was not asked for."""


class CacheError(TftuneError, OSError):
    """The activation cache cannot be read or cannot hold what is to be stored."""


class CacheFullError(CacheError):
    """The disk, or the cache's size budget, has no room for what is to be stored."""


def did_you_mean(received: str, choices: Iterable[str]) -> str:
    """Suggest the closest valid value.

    Args:
        received: what the caller gave.
        choices: the valid values.

    Returns:
        `" Did you mean 'x'?"` with a leading space, or an empty string when nothing is close.
    """
    near = difflib.get_close_matches(str(received), [str(c) for c in choices], n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""


def did_you_mean_path(missing: str | os.PathLike[str]) -> str:
    """Suggest what lies beside a path that does not exist and is called nearly the same.

    Args:
        missing: the path.

    Returns:
        `" Did you mean 'x'?"` with a leading space, or an empty string when nothing is close.
    """
    path = Path(missing)
    if path.exists():
        return ""
    try:
        beside = [found.name for found in path.parent.iterdir()]
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name, beside, n=1, cutoff=0.7)
    return f" Did you mean {str(path.with_name(near[0]))!r}?" if near else ""


def check_choice(argument: str, received: object, choices: Iterable[str], hint: str = "") -> None:
    """Raise ConfigError unless `received` is one of `choices`.

    Args:
        argument: the argument's name, for the message.
        received: the value given.
        choices: the valid values.
        hint: one more sentence that says what to do next.

    Raises:
        ConfigError: naming the argument, what arrived and the nearest valid value.
    """
    choices = list(choices)
    if received not in choices:
        listed = ", ".join(repr(c) for c in choices)
        raise ConfigError(
            f"`{argument}` must be one of {listed}. Received: {received!r}."
            f"{did_you_mean(str(received), choices)}{' ' + hint if hint else ''}"
        )
