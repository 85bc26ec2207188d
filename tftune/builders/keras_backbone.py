"""Making a backbone of any functional Keras model."""

from __future__ import annotations

import functools
from typing import Any

import keras

from tftune.builders.backbones import preprocess
from tftune.builders.heads import LOGITS, POOLED, PROBABILITIES, TEMPERATURE, VALUES
from tftune.errors import ConfigError, ShapeError

_OURS = ("image", "preprocessing", POOLED, LOGITS, TEMPERATURE, PROBABILITIES, VALUES)


def adopt_backbone(
    model: keras.Model, preprocessing: str, image_size: tuple[int, int] | None
) -> keras.Model:
    """Copy a model into a flat graph that starts from raw pixels.

    Args:
        model: functional or sequential, from one batch of images to a feature map or to feature
            vectors, without a classifier. Models nested in it are unfolded. It is not changed.
        preprocessing: what it expects of pixels; see `Preset.preprocessing`.
        image_size: (height, width) in pixels; the model's own by default.

    Returns:
        A model from float32 (batch, height, width, 3) RGB in [0, 255] to the same output, with
        weights of its own.

    Raises:
        ConfigError: if the model is not functional, has several inputs or outputs, calls a layer
            twice, leaves its image size open or does not take the size asked for.
        ShapeError: if its input is not RGB images or its output is neither map nor vectors.
    """
    _check_shapes(model)
    size = image_size or tuple(model.input_shape[1:3])
    if None in size:
        raise ConfigError("`image_size` must be given: the model takes images of any size.")
    image = keras.Input((*size, 3), name="image")
    copies: list[tuple[Any, Any]] = []
    names = set(_OURS)
    try:
        output = _copied(model, preprocess(image, preprocessing), copies, names)
    except ConfigError:
        raise
    except (ValueError, TypeError) as error:
        reason = str(error).splitlines()[0][:300]
        raise ConfigError(
            f"The model cannot be copied for images of {size[0]} x {size[1]} pixels: {reason}"
        ) from error
    for source, copy in copies:
        if getattr(source, "weights", None):
            copy.set_weights(source.get_weights())
    return keras.Model(image, output, name=model.name)


def _check_shapes(model: keras.Model) -> None:
    if not _is_graph(model) or not model.built:
        raise ConfigError(
            "`backbone` must be a functional or built sequential `keras.Model`. "
            f"Received: {type(model).__name__} {model.name!r}."
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ConfigError(
            "`backbone` must have one input and one output. Received: "
            f"{len(model.inputs)} and {len(model.outputs)}."
        )
    shape = tuple(model.inputs[0].shape)
    if len(shape) != 4 or shape[-1] != 3:
        raise ShapeError(
            f"`backbone` must take images, shape (batch, height, width, 3). Received: {shape}."
        )
    if len(model.outputs[0].shape) not in (2, 4):
        raise ShapeError(
            "`backbone` must give a feature map, shape (batch, height, width, channels), or "
            f"vectors, shape (batch, channels). Received: {tuple(model.outputs[0].shape)}."
        )


def _is_graph(operation: Any) -> bool:
    return isinstance(operation, keras.Sequential) or type(operation).__name__ == "Functional"


def _copied(model: keras.Model, x: Any, copies: list[tuple[Any, Any]], names: set[str]) -> Any:
    """Call copies of all operations of a model on `x`, unfolding nested models."""

    def copy(operation: Any) -> Any:
        if _is_graph(operation):
            return operation
        if any(source is operation for source, _ in copies):
            raise ConfigError(
                f"`backbone` must call every layer once. {operation.name!r} is called twice."
            )
        config = operation.get_config()
        name = operation.name
        while name in names:
            name = f"{model.name}_{name}"
        names.add(name)
        config["name"] = name
        made = type(operation).from_config(config)
        copies.append((operation, made))
        return made

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        if _is_graph(operation):
            return _copied(operation, args[0], copies, names)
        return operation(*args, **kwargs)

    if isinstance(model, keras.Sequential):
        for layer in model.layers:
            x = call(copy(layer), x)
        return x
    # `keras.models.clone_model` is built on the same method, but starts every graph from an input
    # of its own, so that it could not continue ours.
    outputs = model._run_through_graph(
        x, operation_fn=lambda operation: functools.partial(call, copy(operation))
    )
    return keras.tree.flatten(outputs)[0]
