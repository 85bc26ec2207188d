"""A TF2 Reusable SavedModel, such as a TF-Hub image feature vector, as a Keras layer.

`hub.KerasLayer` is a layer of tf_keras, which Keras 3 refuses.
"""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tftune.builders.bert_tokens import import_tensorflow_text
from tftune.errors import ConfigError, WeightsError

_BUNDLED: contextvars.ContextVar[Mapping[str, Path] | None] = contextvars.ContextVar(
    "bundled", default=None
)
_FOLDER = "saved_model"
_HANDLE = "handle.txt"


@keras.saving.register_keras_serializable(package="tftune")
class HubLayer(keras.layers.Layer):
    """Calls a SavedModel whose variables it shares.

    The SavedModel always runs in inference mode, so that its batch normalization keeps its
    statistics. It trains whole, not at all, or in what `train_only` names. A saved model carries it
    inside the file.

    Args:
        handle: a folder, or a handle that tensorflow-hub resolves.
        digest: what the SavedModel's graph must hash to; computed when empty.

    Raises:
        WeightsError: if there is no such SavedModel, it cannot be fetched or it is another one.
        ConfigError: if it is not a TF2 Reusable SavedModel.
    """

    opaque = True  # what it computes is not seen from outside

    def __init__(self, handle: str, digest: str = "", **arguments: Any) -> None:
        arguments.setdefault("autocast", False)  # loaded functions have fixed types
        super().__init__(**arguments)
        self.handle = handle
        self._path = bundled_path(handle) or resolve_handle(handle)
        graph = (self._path / "saved_model.pb").read_bytes()
        self.digest = hashlib.blake2b(graph, digest_size=16).hexdigest()
        if digest and digest != self.digest:
            raise WeightsError(
                f"The SavedModel at {handle!r} is not the one this model was built on."
            )
        # The attribute keeps its functions, tables and assets alive, and in an export.
        self._loaded = load_saved_model(self._path)
        if not callable(self._loaded) or not hasattr(self._loaded, "trainable_variables"):
            raise ConfigError(
                f"{handle!r} must be a TF2 Reusable SavedModel, which can be called and lists its "
                "variables, as the TF2 image feature vectors of TF-Hub are."
            )
        self._takes_training = _takes_training(self._loaded)
        self._trainable_ids = {id(v) for v in self._loaded.trainable_variables}
        self._adopted = _adopt(self._loaded, self._trainable_ids)
        self._chosen: frozenset[str] | None = None
        self.supports_jit = False
        self.built = True
        self._mark()

    @property
    def trainable(self) -> bool:
        """Whether the SavedModel's trainable variables train."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        # Keras' own setter would also train what the SavedModel keeps fixed.
        keras.layers.Layer.trainable.fset(self, value)
        self._mark()

    def train_only(self, names: Iterable[str] | None) -> None:
        """Freeze all variables but these, while the layer trains; None frees all."""
        self._chosen = None if names is None else frozenset(names)
        self._mark()

    @property
    def fixed_weights(self) -> list[keras.Variable]:
        """What the SavedModel itself never trains, such as moving means."""
        return [v for v in self._adopted if id(v.value) not in self._trainable_ids]

    def call(self, inputs: Any) -> Any:
        """Return feature vectors, shape (batch, channels)."""
        return (
            self._loaded(inputs, training=False) if self._takes_training else self._loaded(inputs)
        )

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        """Trace the SavedModel for the shape of its output."""
        spec = tf.TensorSpec((None, *inputs.shape[1:]), tf.float32)
        traced = tf.function(self.call).get_concrete_function(spec)
        output = traced.structured_outputs
        if isinstance(output, (dict, list, tuple)):
            raise ConfigError(f"{self.handle!r} must give one tensor. Received: {output}.")
        return keras.KerasTensor((None, *output.shape[1:]), output.dtype.name)

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds the layer, given the SavedModel."""
        return {**super().get_config(), "handle": self.handle, "digest": self.digest}

    def save_own_variables(self, store: Any) -> None:
        """Write variables by name, so that freezing never reorders them."""
        for variable in self._adopted:
            store[variable.name] = keras.ops.convert_to_numpy(variable)

    def load_own_variables(self, store: Any) -> None:
        """Read what `save_own_variables` wrote."""
        for variable in self._adopted:
            variable.assign(store[variable.name])

    def save_assets(self, path: str) -> None:
        """Put the SavedModel itself into the file."""
        shutil.copytree(self._path, os.path.join(path, _FOLDER), dirs_exist_ok=True)
        Path(path, _HANDLE).write_text(self.handle, encoding="utf-8")

    def load_assets(self, path: str) -> None:
        """Do nothing: `bundled_saved_models` came before, when the layer was made."""

    def _mark(self) -> None:
        for variable in getattr(self, "_adopted", ()):
            chosen = self._chosen is None or variable.name in self._chosen
            own = id(variable.value) in self._trainable_ids
            variable.trainable = self._trainable and own and chosen


@contextlib.contextmanager
def bundled_saved_models(file: Path) -> Iterator[None]:
    """Make SavedModels inside a `.keras` file available while it is loaded."""
    with zipfile.ZipFile(file) as archive:
        members = [name for name in archive.namelist() if f"/{_FOLDER}/" in name]
        handles = [name for name in archive.namelist() if name.endswith(f"/{_HANDLE}")]
        if not handles:
            yield
            return
        # Read again whenever the model is saved, so it stays as long as the process does.
        folder = tempfile.TemporaryDirectory(prefix="tftune-hub-", ignore_cleanup_errors=True)
        _KEPT.append(folder)
        archive.extractall(folder.name, members)
        found = {
            archive.read(name).decode(): Path(folder.name, name).parent / _FOLDER
            for name in handles
        }
    token = _BUNDLED.set(found)
    try:
        yield
    finally:
        _BUNDLED.reset(token)


def bundled_path(handle: str) -> Path | None:
    """Return where a handle's SavedModel is while a file that carries it is loaded."""
    return (_BUNDLED.get() or {}).get(handle)


_KEPT: list[tempfile.TemporaryDirectory] = []


def resolve_handle(handle: str, argument: str = "backbone") -> Path:
    """Find the folder of a SavedModel.

    Args:
        handle: a folder, or a TF-Hub handle, which is downloaded.
        argument: what the caller's argument is called, for messages.

    Raises:
        WeightsError: if it is neither, or cannot be fetched.
    """
    if (Path(handle) / "saved_model.pb").is_file():
        return Path(handle)
    if "://" not in handle:
        named = {"encoder": "'ngrams', ", "backbone": "a preset, "}.get(argument, "")
        told = (
            f"`{argument}` must be {named}a SavedModel's folder or a TF-Hub handle. {handle!r} "
            "holds no saved_model.pb."
        )
        if (Path(handle) / "config.json").is_file():
            told += " It looks like a checkpoint: convert it by `tftune.convert_bert` first."
        raise WeightsError(told)
    try:
        import tensorflow_hub
    except ImportError as error:
        raise WeightsError(
            f"tensorflow-hub cannot be imported ({error}). It needs pkg_resources: run "
            "`pip install tensorflow-hub 'setuptools<82'`, or give the folder of a SavedModel."
        ) from error
    try:
        return Path(tensorflow_hub.resolve(handle))
    except Exception as error:  # tensorflow-hub raises whatever its network layers do
        reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise WeightsError(
            f"{handle!r} could not be fetched ({reason}). Download it and give its folder."
        ) from error


def load_saved_model(path: Path) -> Any:
    """Load a SavedModel; tensorflow-text is imported if it uses operations of that.

    Raises:
        ConfigError: if it needs tensorflow-text and that is not installed.
        WeightsError: if it is damaged.
    """
    for again in (False, True):
        try:
            return tf.saved_model.load(str(path))
        except (tf.errors.OpError, ValueError, KeyError, OSError) as error:
            if "not registered" in str(error) and not again:
                import_tensorflow_text()
                continue
            reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
            raise WeightsError(
                f"The SavedModel {str(path)!r} cannot be loaded: {reason}."
            ) from error
    return None


def _takes_training(loaded: Any) -> bool:
    spec = getattr(loaded.__call__, "function_spec", None)
    if spec is None:
        return False
    return "training" in [*spec.fullargspec.args, *spec.fullargspec.kwonlyargs]


def _adopt(loaded: Any, trainable_ids: set[int]) -> list[keras.Variable]:
    """Wrap a SavedModel's variables for Keras; both share their storage."""
    ordered = list(loaded.trainable_variables)
    ordered += [v for v in getattr(loaded, "variables", ()) if id(v) not in trainable_ids]
    adopted = []
    names: set[str] = set()
    for variable in ordered:
        base = variable.name.split(":")[0].replace("/", ".")
        name = base if base not in names else f"{base}__{len(names)}"
        names.add(name)
        wrapped = keras.Variable(variable, dtype=variable.dtype.name, name=name)
        assert wrapped.value is variable
        adopted.append(wrapped)
    return adopted
