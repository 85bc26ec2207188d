"""TransferModel: a plain Keras model and what must be known to use, cut, save and ship it."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tftune.atomic import replaced_file
from tftune.builders.stages import Stage, find_stages, unfrozen_stages
from tftune.config import ImageInput, ModelSpec, Unfreeze
from tftune.data.decode import read_image
from tftune.data.resize import resize_images
from tftune.display import Displayed, Table
from tftune.errors import ConfigError, ModelFileError, OutputExistsError, ShapeError

_SPEC_MEMBER = "tftune.json"


@dataclass(frozen=True)
class Trunk:
    """The part of a model below a boundary, which stays as it is while the part above trains.

    Attributes:
        keras_model: from raw pixels to the boundary.
        boundary: name of the layer whose output the boundary is.
        image_input: the resize contract.
        forward: `keras_model` in inference mode as one compiled function.
    """

    keras_model: keras.Model
    boundary: str
    image_input: ImageInput
    forward: Callable[[tf.Tensor], tf.Tensor]

    @functools.cached_property
    def fingerprint(self) -> str:
        """A digest of everything that decides the activations: graph, weights and contract."""
        digest = hashlib.blake2b(digest_size=16)
        config = self.keras_model.get_config()
        config.pop("name", None)
        # Keras counts names such as "conv2d_94" up in every process: they are no content, the
        # position of an operation is.
        operations = self.keras_model.operations
        positions = {operation.name: f"#{index}" for index, operation in enumerate(operations)}
        digest.update(json.dumps(_plain(config, positions), sort_keys=True).encode())
        digest.update(repr((positions[self.boundary], self.image_input)).encode())
        for weight in self.keras_model.get_weights():
            digest.update(np.ascontiguousarray(weight).data)
        return digest.hexdigest()


class TransferModel(Displayed):
    """A backbone with a head for your classes.

    Attributes:
        keras_model: from float32 RGB pixels in [0, 255], shape (batch, height, width, 3), to
            probabilities, shape (batch, num_classes). A plain `keras.Model`.
        spec: everything else that is saved with it.
    """

    def __init__(self, keras_model: keras.Model, spec: ModelSpec) -> None:
        self.keras_model = keras_model
        self.spec = spec
        self._cuts: dict[str, tuple[Trunk, keras.Model]] = {}

    @property
    def class_names(self) -> tuple[str, ...]:
        """The meaning of each output."""
        return self.spec.class_names

    @property
    def num_classes(self) -> int:
        """How many outputs there are."""
        return len(self.spec.class_names)

    @property
    def task(self) -> str:
        """What kind of question the model answers."""
        return self.spec.task

    @property
    def preset(self) -> str:
        """The name of the backbone's preset."""
        return self.spec.preset

    @property
    def image_input(self) -> ImageInput:
        """The resize contract."""
        return self.spec.image_input

    @functools.cached_property
    def backbone(self) -> keras.Model:
        """From raw pixels to the last feature map, sharing layers with `keras_model`."""
        return keras.Model(
            self.keras_model.input,
            self.keras_model.get_layer(self.spec.features_layer).output,
            name=self.preset,
        )

    @functools.cached_property
    def head(self) -> keras.Model:
        """From the last feature map to probabilities, sharing layers with `keras_model`."""
        features = self.keras_model.get_layer(self.spec.features_layer).output
        return keras.Model(features, self.keras_model.output, name="head")

    @functools.cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The backbone's stages, from the input upwards."""
        return find_stages(self.backbone)

    def boundary_below(self, unfreeze: Unfreeze) -> str | None:
        """Name the layer at which the network is cut when `unfreeze` trains.

        Returns:
            The layer's name; None when everything trains and nothing is frozen.

        Raises:
            ConfigError: if `unfreeze` names no stage of this model.
        """
        unfrozen = unfrozen_stages(self.stages, unfreeze)
        if not unfrozen:
            return self.spec.pooled_layer
        if len(unfrozen) == len(self.stages):
            return None
        return unfrozen[0].boundary.layer

    def cut(self, boundary: str) -> tuple[Trunk, keras.Model]:
        """Cut the network in two at a layer's output.

        Args:
            boundary: name of a layer at a cut point, or of the pooled layer.

        Returns:
            The trunk, from pixels to the boundary, and the top, a Keras model from the boundary to
            logits. Both share layers with `keras_model`.
        """
        if boundary not in self._cuts:
            tensor = self.keras_model.get_layer(boundary).output
            logits = self.keras_model.get_layer(self.spec.logits_layer).output
            below = keras.Model(self.keras_model.input, tensor, name="trunk")
            top = keras.Model(tensor, logits, name="top")
            trunk = Trunk(below, boundary, self.image_input, _compiled(below))
            self._cuts[boundary] = (trunk, top)
        # A new Trunk each time: its fingerprint is cached and lower weights may have trained since.
        trunk, top = self._cuts[boundary]
        return dataclasses.replace(trunk), top

    @functools.cached_property
    def forward(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """The network in inference mode as one compiled function, traced once.

        It takes float32 pixels of the model's own size and gives probabilities. Weights that train
        later are seen, since the graph refers to them.
        """
        return _compiled(self.keras_model)

    @functools.cached_property
    def logits_model(self) -> keras.Model:
        """From raw pixels to logits, sharing layers with `keras_model`."""
        logits = self.keras_model.get_layer(self.spec.logits_layer).output
        return keras.Model(self.keras_model.input, logits, name="logits_model")

    def set_trainable(self, unfreeze: Unfreeze) -> None:
        """Freeze and unfreeze layers; compile again afterwards or Keras keeps the old choice.

        The head always trains. BatchNormalization never does: with the small batches of
        fine-tuning its new statistics would harm the features (keras#9214).

        Args:
            unfreeze: what of the backbone trains.
        """
        frozen = {operation.name for operation in self.backbone.operations}
        for stage in unfrozen_stages(self.stages, unfreeze):
            frozen -= set(stage.layers)
        for layer in self.keras_model.layers:
            is_batch_norm = isinstance(layer, keras.layers.BatchNormalization)
            layer.trainable = layer.name not in frozen and not is_batch_norm

    def predict(self, images: Any) -> dict[str, float] | list[dict[str, float]]:
        """Classify one image, or several.

        Args:
            images: a path, or an array of RGB pixels in [0, 255] with shape (height, width, 3);
                or a list of these, or one array of shape (num_images, height, width, 3).

        Returns:
            Class names with probabilities, most probable first; a list of these when a list or a
            batch came in.

        Raises:
            DataError: if a file cannot be read as an image.
            ShapeError: if an array is not an RGB image.
        """
        single = isinstance(images, (str, os.PathLike)) or (
            not isinstance(images, (list, tuple)) and np.ndim(images) == 3
        )
        batch = [images] if single else list(images)
        if not batch:
            return []
        pixels = np.stack([self._prepare(image) for image in batch])
        probabilities = self.predict_probabilities(pixels)
        answers = [self._ranked(row) for row in probabilities]
        return answers[0] if single else answers

    def predict_probabilities(self, pixels: np.ndarray, batch_size: int = 32) -> np.ndarray:
        """Run the network on images of its own size.

        Args:
            pixels: shape (num_images, height, width, 3), RGB in [0, 255].
            batch_size: images a step.

        Returns:
            float32, shape (num_images, num_classes).
        """
        return self.keras_model.predict(pixels, batch_size=batch_size, verbose=0)

    def save(self, path: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write one `.keras` file, which plain Keras can load too.

        Args:
            path: a file name that ends in ".keras".
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
            self.keras_model.save(temporary)
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr(_SPEC_MEMBER, json.dumps(self.spec.to_json(), ensure_ascii=False))

    def sections(self) -> list[str | Table]:
        """Show the stages, what is frozen, and what each costs."""
        by_name = {layer.name: layer for layer in self.keras_model.layers}
        rows = []
        for stage in self.stages:
            trains = any(by_name[n].trainable_weights for n in stage.layers if n in by_name)
            shape = "x".join(str(side) for side in stage.output.shape)
            row = (stage.name, shape, f"{stage.parameters:,}", f"{stage.flops / 1e6:,.0f}")
            rows.append((*row, "yes" if trains else "no"))
        head_parameters = self.head.count_params()
        rows.append(("head", str(self.num_classes), f"{head_parameters:,}", "0", "yes"))
        size = " x ".join(str(side) for side in self.image_input.image_size)
        title = f"{self.preset} for {self.num_classes} classes, {size} pixels"
        columns = ("stage", "output", "parameters", "MFLOPs", "trains")
        return [Table(columns, rows, title=title)]

    def summary(self) -> None:
        """Print the stages, what is frozen, and what each costs."""
        print(self)

    def _prepare(self, image: Any) -> np.ndarray:
        is_path = isinstance(image, (str, os.PathLike))
        background = self.image_input.background
        pixels = read_image(image, background) if is_path else np.asarray(image)
        if pixels.ndim != 3 or pixels.shape[-1] != 3:
            raise ShapeError(
                "An image must have shape (height, width, 3), RGB in [0, 255]. "
                f"Received shape: {pixels.shape}."
            )
        return resize_images(pixels, self.image_input).numpy()

    def _ranked(self, probabilities: np.ndarray) -> dict[str, float]:
        order = np.argsort(-probabilities, kind="stable")
        return {self.class_names[index]: float(probabilities[index]) for index in order}


def load(path: str | os.PathLike[str]) -> TransferModel:
    """Load a model that `TransferModel.save` wrote.

    Args:
        path: a `.keras` file, or a run directory that holds `model.keras`.

    Returns:
        The model, with equal predictions.

    Raises:
        ModelFileError: if there is no such file, or tftune did not write it.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "model.keras"
    if not file.is_file():
        raise ModelFileError(f"There is no model at {str(path)!r}: {str(file)!r} does not exist.")
    try:
        with zipfile.ZipFile(file) as archive:
            spec = ModelSpec.from_json(json.loads(archive.read(_SPEC_MEMBER)))
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise ModelFileError(
            f"{str(file)!r} is not a model that tftune saved. "
            "Give a .keras file written by `model.save` or a run directory."
        ) from error
    return TransferModel(keras.models.load_model(file, compile=False), spec)


def _compiled(network: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    # Of any batch size: with a fixed one, the smaller last batch would be traced again.
    spec = tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)
    return tf.function(lambda inputs: network(inputs, training=False), input_signature=[spec])


def _plain(value: Any, names: Mapping[str, str]) -> Any:
    """Reduce a Keras config to what JSON holds, with operations under their new `names`."""
    if isinstance(value, dict):
        return {str(key): _plain(item, names) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, names) for item in value]
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, (int, float, bool)) or value is None:
        return value
    return repr(value)
