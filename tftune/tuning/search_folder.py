"""The folder of a search: what it is a search of, and whether another call is the same search."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tftune.atomic import replaced_folder, write_json
from tftune.builders.transfer_model import TransferModel
from tftune.errors import OutputExistsError, ResumeError

_IDENTITY = "search.json"


def begin_search(
    output: str | os.PathLike[str], overwrite: bool, identity: Mapping[str, Any]
) -> Path:
    """Make the folder of a search, or find the one that the same call left.

    Args:
        output: the folder.
        overwrite: start anew where it holds another search, or the same one.
        identity: all that decides what the trials' figures mean, by name.

    Returns:
        The folder.

    Raises:
        OutputExistsError: if the folder holds something else than a search.
        ResumeError: if it holds a search of something else; says of what.
    """
    folder = Path(output)
    asked = json.loads(json.dumps(identity))  # as JSON gives it back: tuples are lists
    file = folder / _IDENTITY
    if file.is_file() and not overwrite:
        found = json.loads(file.read_text(encoding="utf-8"))
        changed = list(_changes(found, asked))
        if changed:
            raise ResumeError(
                f"{str(folder)!r} holds a search of something else. Changed: {'; '.join(changed)}. "
                "Continue it with what it began with, choose another `output`, or start anew "
                "(--overwrite)."
            )
        return folder
    if folder.is_dir() and any(folder.iterdir()):
        if not file.is_file():
            raise OutputExistsError(
                f"`output` {str(folder)!r} is not the folder of a search (it holds no "
                f"{_IDENTITY}), so nothing is written there. Choose another name."
            )
        shutil.rmtree(folder)
    with replaced_folder(folder, overwrite=folder.is_dir()) as temporary:
        write_json(temporary / _IDENTITY, asked)
    return folder


def model_digest(model: TransferModel) -> str:
    """Digest what a model's trials depend on; a head's own weights are not used."""
    trunk, _ = model.cut(model.spec.pooled_layer)
    digest = hashlib.blake2b(trunk.fingerprint.encode(), digest_size=16)
    digest.update(repr(model.spec.heads).encode())
    return digest.hexdigest()


def _changes(found: Any, asked: Any, name: str = "") -> Iterator[str]:
    """Name every leaf that differs."""
    if isinstance(found, dict) and isinstance(asked, dict):
        for key in {**found, **asked}:
            path = f"{name}.{key}" if name else key
            yield from _changes(found.get(key), asked.get(key), path)
    elif found != asked:
        if name == "data" or name.startswith("models."):
            yield f"the {'data' if name == 'data' else 'model ' + name.partition('.')[2]}"
        else:
            yield f"{name} was {found!r}, is {asked!r}"
