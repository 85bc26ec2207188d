"""The file a model is kept in: Keras' own, with what tftune must know beside it."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import zipfile
from pathlib import Path

import keras

from tftune.atomic import replaced_file
from tftune.builders.hub_layer import bundled_saved_models
from tftune.config.model_spec import ModelSpec
from tftune.errors import ConfigError, ModelFileError, OutputExistsError, did_you_mean_path
from tftune.results.unknown import KnownFeatures

_SPEC_MEMBER = "tftune.json"
_KNOWN_MEMBER = "known.npz"


def write_model(
    path: str | os.PathLike[str],
    network: keras.Model,
    spec: ModelSpec,
    known: KnownFeatures | None,
    overwrite: bool,
) -> None:
    """Write one `.keras` file.

    Args:
        path: a file name that ends in ".keras".
        network: what plain Keras finds in the file.
        spec: everything else that is needed to use it.
        known: what tells unknown images, if the model knows its training images.
        overwrite: replace an existing file.

    Raises:
        ConfigError: if the name does not end in ".keras".
        OutputExistsError: if the file exists and `overwrite` is False.
    """
    if Path(path).suffix != ".keras":
        raise ConfigError(f"`path` must end in '.keras'. Received: {str(path)!r}.")
    if Path(path).exists() and not overwrite:
        raise OutputExistsError(f"{str(path)!r} exists. Choose another name or overwrite it.")
    with replaced_file(path) as temporary:
        network.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(_SPEC_MEMBER, json.dumps(spec.to_json(), ensure_ascii=False))
            if known is not None:
                archive.writestr(_KNOWN_MEMBER, known.to_bytes())


def read_model(
    path: str | os.PathLike[str],
) -> tuple[keras.Model, ModelSpec, KnownFeatures | None]:
    """Read what `write_model` wrote.

    Args:
        path: a `.keras` file, or a run directory that holds `model.keras`.

    Returns:
        The network, its spec and what it knows of its training images.

    Raises:
        ModelFileError: if there is no such file, or tftune did not write it.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "model.keras"
    if not file.is_file():
        unfinished = "the run is not finished" if Path(path).is_dir() else "it does not exist"
        raise ModelFileError(
            f"There is no model at {str(path)!r}: {unfinished}.{did_you_mean_path(path)} A run "
            "directory (`tftune train DATA --output RUN`) or a .keras file holds one."
        )
    try:
        with zipfile.ZipFile(file) as archive:
            spec = ModelSpec.from_json(json.loads(archive.read(_SPEC_MEMBER)))
            known = None
            if _KNOWN_MEMBER in archive.namelist():
                known = KnownFeatures.from_bytes(archive.read(_KNOWN_MEMBER))
            _import_layers(archive.read("config.json").decode("utf-8"))
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise ModelFileError(
            f"{str(file)!r} is not a model that tftune saved. "
            "Give a .keras file written by `model.save` or a run directory."
        ) from error
    with bundled_saved_models(file):
        try:
            network = keras.models.load_model(file, compile=False)
        except TypeError as error:
            # Keras repeats whole layers, vocabularies included; the reason comes last.
            reason = str(error).strip().splitlines()[-1].removeprefix("Exception encountered: ")
            raise ModelFileError(f"{str(file)!r} cannot be loaded: {reason[:500]}") from error
    if isinstance(network.input, list) and len(network.inputs) == 1:
        # Keras 3.10 loads a model of one input as a model of a list of one.
        network = keras.Model(network.inputs[0], network.output, name=network.name)
    return network, spec, known


def _import_layers(config: str) -> None:
    """Import the modules of our own layers that a network has, which registers them with Keras."""
    for name in sorted(set(re.findall(r'"module": "(tftune\.builders\.\w+)"', config))):
        with contextlib.suppress(ImportError):  # Keras then says which layer it does not know
            importlib.import_module(name)
