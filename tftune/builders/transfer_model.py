"""TransferModel: a plain Keras model and what must be known to use, cut, save and ship it."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tftune.builders.answers import answer_of
from tftune.builders.heads import outputs_from_logits, temperature_layer
from tftune.builders.model_file import read_model, write_model
from tftune.builders.model_inputs import image_as_input, texts_as_input
from tftune.builders.sequences import PadSequence
from tftune.builders.stages import (
    Stage,
    find_stages,
    operation_flops,
    unfrozen_stages,
    variables_of,
)
from tftune.builders.trunk import Trunk, compiled
from tftune.config.image_input import ImageInput
from tftune.config.model_spec import TAGS, HeadSpec, ModelSpec
from tftune.config.phase import Unfreeze
from tftune.config.text_input import TextInput
from tftune.display import Displayed, Table
from tftune.errors import ConfigError
from tftune.results.unknown import UNKNOWN, KnownFeatures


class TransferModel(Displayed):
    """A backbone with heads for what you want to know.

    `logits_model` and the top of a `cut` give logits: one tensor for one head, for several a
    dictionary by head name. `class_names`, `task` and `num_classes` are the first head's.

    Attributes:
        keras_model: from float32 RGB pixels in [0, 255], shape (batch, height, width, 3), to
            probabilities (for regression, values), shape (batch, num_classes); for several heads
            to a dictionary of them by head name. A plain `keras.Model`.
        spec: everything else that is saved with it.
        known: what tells images unlike all training images, once `tftune.fit_unknown` set it.
    """

    def __init__(self, keras_model: keras.Model, spec: ModelSpec) -> None:
        self.keras_model = keras_model
        self.spec = spec
        self.known: KnownFeatures | None = None
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
    def heads(self) -> tuple[HeadSpec, ...]:
        """What the model answers, one entry a target."""
        return self.spec.heads

    @property
    def temperature(self) -> float | dict[str, float]:
        """What logits are divided by before they become probabilities; 1 in a new model.

        It is part of the graph, so it is saved and exported. Set a number, or numbers by head
        name. With one head it reads as a number, otherwise by head; regression has none.
        """
        found = self.temperatures
        one = len(self.heads) == 1 and self.heads[0].task != "regression"
        return found[self.heads[0].name] if one else found

    @temperature.setter
    def temperature(self, value: float | Mapping[str, float]) -> None:
        known = self.temperatures
        wanted = dict(value) if isinstance(value, Mapping) else dict.fromkeys(known, value)
        unknown = sorted(set(wanted) - set(known))
        if unknown or not all(np.isfinite(t) and t > 0 for t in wanted.values()):
            raise ConfigError(
                "`temperature` must be a number above 0, or such numbers by head "
                f"({', '.join(known) or 'this model has no classification head'}). "
                f"Received: {value!r}."
            )
        for head in self.heads:
            if head.name in wanted:
                layer = self.keras_model.get_layer(temperature_layer(head))
                layer.scale = 1.0 / float(wanted[head.name])
        # Functions traced before hold the old number.
        self.__dict__.pop("forward", None)
        self.keras_model.predict_function = self.keras_model.test_function = None

    @property
    def temperatures(self) -> dict[str, float]:
        """The temperature of every head that answers with probabilities, by head name."""
        found = {}
        for head in self.heads:
            name = temperature_layer(head)
            if name is not None:
                found[head.name] = 1.0 / self.keras_model.get_layer(name).scale
        return found

    @property
    def preset(self) -> str:
        """The name of the backbone's preset."""
        return self.spec.preset

    @property
    def contract(self) -> ImageInput | TextInput:
        """How an image or text becomes the model's input."""
        return self.spec.contract

    @property
    def image_input(self) -> ImageInput:
        """The resize contract of a model of images.

        Raises:
            ConfigError: if the model reads texts.
        """
        return self.spec.image_contract

    @functools.cached_property
    def backbone(self) -> keras.Model:
        """From raw pixels to the last feature map, sharing layers with `keras_model`."""
        return keras.Model(
            self.keras_model.input,
            self._tensor(self.spec.features_layer),
            name=self.preset,
        )

    @functools.cached_property
    def head(self) -> keras.Model:
        """From the last feature map to probabilities, sharing layers with `keras_model`."""
        features = self._tensor(self.spec.features_layer)
        return keras.Model(features, self.keras_model.output, name="head")

    @functools.cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The backbone's stages, from the input upwards."""
        return find_stages(self.backbone)

    def boundary_below(self, unfreeze: Unfreeze) -> str | None:
        """Name the layer at which the network is cut when `unfreeze` trains.

        Returns:
            The layer's name; None when everything trains, or part of what cannot be cut.

        Raises:
            ConfigError: if `unfreeze` names no stage of this model.
        """
        unfrozen = unfrozen_stages(self.stages, unfreeze)
        if not unfrozen:
            return self.spec.pooled_layer
        if len(unfrozen) == len(self.stages) or unfrozen[0].variables:
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
            tensor = self._tensor(boundary)
            end = tensor
            if isinstance(self.contract, TextInput) and None in tensor.shape[1:]:
                # Rows of the cache are all of one size; batches are not.
                end = PadSequence(self.contract.sequence_length, name="padded")(tensor)
            below = keras.Model(self.keras_model.input, end, name="trunk")
            top = keras.Model(tensor, self._logits(), name="top")
            trunk = Trunk(below, boundary, self.contract, compiled(below), self.preset)
            self._cuts[boundary] = (trunk, top)
        # A new Trunk each time: its fingerprint is cached and lower weights may have trained since.
        trunk, top = self._cuts[boundary]
        return dataclasses.replace(trunk), top

    @functools.cached_property
    def forward(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """The network in inference mode as one compiled function, traced once.

        It takes float32 pixels of the model's own size and gives what `keras_model` gives. Weights
        that train later are seen, since the graph refers to them.
        """
        return compiled(self.keras_model)

    @functools.cached_property
    def forward_logits(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """The same up to the logits, which no temperature changes."""
        return compiled(self.logits_model)

    @functools.cached_property
    def logits_model(self) -> keras.Model:
        """From raw pixels to logits, sharing layers with `keras_model`."""
        return keras.Model(self.keras_model.input, self._logits(), name="logits_model")

    def set_trainable(self, unfreeze: Unfreeze) -> None:
        """Freeze and unfreeze layers; compile again afterwards or Keras keeps the old choice.

        The head always trains. BatchNormalization never does: with the small batches of
        fine-tuning its new statistics would harm the features (keras#9214).

        Args:
            unfreeze: what of the backbone trains.
        """
        frozen = {operation.name for operation in self.backbone.operations}
        unfrozen = unfrozen_stages(self.stages, unfreeze)
        for stage in unfrozen:
            frozen -= set(stage.layers)
        for layer in self.keras_model.layers:
            is_batch_norm = isinstance(layer, keras.layers.BatchNormalization)
            layer.trainable = layer.name not in frozen and not is_batch_norm
            if hasattr(layer, "train_only"):
                layer.train_only(variables_of(unfrozen, layer.name))

    def outputs_from_logits(self, logits: Any) -> Any:
        """Compute what `keras_model` gives from what `logits_model` gives.

        Args:
            logits: shape (num_examples, num_outputs); for several heads, by head name.

        Returns:
            float32 probabilities or values of the same shape; for several heads, by head name.
        """
        return outputs_from_logits(self.heads, logits, self.temperatures)

    def predict(self, images: Any, unknown: bool = False) -> dict[str, Any] | list[dict[str, Any]]:
        """Answer for one image or text, or several.

        Args:
            images: a path, or an array of RGB pixels in [0, 255] with shape (height, width, 3);
                or a list of these, or one array of shape (num_images, height, width, 3). For a
                model of texts a string (a tuple of two for pairs), or a list of these.
            unknown: answer `{"unknown": 1.0}` to images unlike all training images.

        Returns:
            Class names with probabilities, most probable first; for multilabel each class's own
            probability; for regression values by name; for tags of words see `answer_of`; for
            several heads such answers by head. A list of these when a list or a batch came in.

        Raises:
            DataError: if a file cannot be read as an image.
            ShapeError: if an array is not an RGB image.
            ConfigError: if `unknown` is asked for before `tftune.fit_unknown`.
        """
        if unknown and self.known is None:
            raise ConfigError(
                "`unknown` needs a model that knows its training images. "
                "Call `tftune.fit_unknown(model, data)` first."
            )
        contract = self.contract
        reads_texts = isinstance(contract, TextInput)
        single = isinstance(images, (str, tuple) if reads_texts else (str, os.PathLike)) or (
            not isinstance(images, (list, tuple)) and np.ndim(images) == 3
        )
        batch = [images] if single else list(images)
        if not batch:
            return []
        if isinstance(contract, TextInput):
            pixels = texts_as_input(batch, contract)
            outputs = keras.tree.map_structure(np.asarray, self.forward(pixels))
        else:
            pixels = np.stack([self.prepare(image) for image in batch])
            outputs = self.predict_probabilities(pixels)
        if len(self.heads) == 1:
            answers: list[dict[str, Any]] = [
                answer_of(self.heads[0], row, example)
                for row, example in zip(outputs, batch, strict=True)
            ]
        else:
            answers = [
                {head.name: answer_of(head, outputs[head.name][index]) for head in self.heads}
                for index in range(len(batch))
            ]
        if unknown and self.known is not None:
            strange = self.known.unknown(self._pooled(pixels))
            answers = [
                {UNKNOWN: 1.0} if odd else answer
                for odd, answer in zip(strange, answers, strict=True)
            ]
        return answers[0] if single else answers

    def predict_probabilities(self, pixels: np.ndarray, batch_size: int = 32) -> Any:
        """Run the network on images of its own size.

        Args:
            pixels: shape (num_images, height, width, 3), RGB in [0, 255].
            batch_size: images a step.

        Returns:
            float32, shape (num_images, num_classes), probabilities or, for regression, values; for
            several heads a dictionary of such arrays by head name.
        """
        return self.keras_model.predict(pixels, batch_size=batch_size, verbose=0)

    def save(self, path: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write one `.keras` file, which plain Keras can load too (not so with a TF-Hub backbone).

        Args:
            path: a file name that ends in ".keras".
            overwrite: replace an existing file.

        Raises:
            ConfigError: if the name does not end in ".keras".
            OutputExistsError: if the file exists and `overwrite` is False.
        """
        write_model(path, self.keras_model, self.spec, self.known, overwrite)

    def sections(self) -> list[str | Table]:
        """Show the stages, what is frozen, and what each costs."""
        by_name = {layer.name: layer for layer in self.keras_model.layers}
        rows = []
        for stage in self.stages:
            layers = [by_name[name] for name in stage.layers if name in by_name]
            trained = [weight.name for layer in layers for weight in layer.trainable_weights]
            trains = bool(set(trained) & set(stage.variables or trained))
            shape = "x".join(str(side or "?") for side in stage.output.shape)
            row = (stage.name, shape, f"{stage.parameters:,}", f"{stage.flops / 1e6:,.0f}")
            rows.append((*row, "yes" if trains else "no"))
        flops = sum(operation_flops(operation) for operation in self.head.operations)
        outputs = sum(len(head.class_names) for head in self.heads)
        mflops = f"{flops / 1e6:,.0f}"
        rows.append(("head", str(outputs), f"{self.head.count_params():,}", mflops, "yes"))
        columns = ("stage", "output", "parameters", "MFLOPs", "trains")
        return [Table(columns, rows, title=self._title())]

    def summary(self) -> None:
        """Print the stages, what is frozen, and what each costs."""
        print(self)

    def _pooled(self, pixels: np.ndarray, batch_size: int = 32) -> np.ndarray:
        trunk, _ = self.cut(self.spec.pooled_layer)
        starts = range(0, len(pixels), batch_size)
        parts = [trunk.forward(tf.constant(pixels[i : i + batch_size])) for i in starts]
        return np.concatenate(parts)

    def prepare(self, image: str | os.PathLike[str] | np.ndarray) -> np.ndarray:
        """Read and resize an image as the network wants it; see `image_as_input`."""
        return image_as_input(image, self.image_input)

    def _title(self) -> str:
        parts = []
        for head in self.heads:
            count = len(head.class_names)
            things = {"multiclass": "classes", "multilabel": "labels", TAGS: "tags"}
            thing = things.get(head.task, "values")
            part = f"{count} {thing if count != 1 else thing.removesuffix('s')}"
            parts.append(part if len(self.heads) == 1 else f"{head.name} ({part})")
        if isinstance(self.contract, TextInput):
            length = self.contract.sequence_length
            reads = f"{length} tokens" if length else "texts"
        else:
            reads = " x ".join(str(side) for side in self.contract.image_size) + " pixels"
        return f"{self.preset} for {', '.join(parts)}, {reads}"

    def _tensor(self, name: str) -> keras.KerasTensor:
        # Not every operation is a layer, so `get_layer` would miss a sum such as "add_3".
        return next(op for op in self.keras_model.operations if op.name == name).output

    def _logits(self) -> keras.KerasTensor | dict[str, keras.KerasTensor]:
        tensors = {head.name: self._tensor(head.logits_layer) for head in self.heads}
        return tensors if len(self.heads) > 1 else tensors[self.heads[0].name]


def load(path: str | os.PathLike[str]) -> TransferModel:
    """Load a model that `TransferModel.save` wrote.

    Args:
        path: a `.keras` file, or a run directory that holds `model.keras`.

    Returns:
        The model, with equal predictions.

    Raises:
        ModelFileError: if there is no such file, or tftune did not write it.
    """
    network, spec, known = read_model(path)
    model = TransferModel(network, spec)
    model.known = known
    return model
