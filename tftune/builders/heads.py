"""What is put on top of a backbone: pooling, hidden layers and a head for every target."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tftune.builders.word_layers import Channels, WordProbabilities, WordScores
from tftune.config.model_spec import TAGS, HeadSpec
from tftune.data.targets import Target
from tftune.errors import ConfigError, check_choice

POOLED = "pooled"
LOGITS = "logits"
STEPS = "steps"
TOKENS = "token_scores"
TEMPERATURE = "temperature"
PROBABILITIES = "probabilities"
VALUES = "values"
POOLINGS = ("average", "max", "concat")


def pool_features(features: keras.KerasTensor, pooling: str = "average") -> keras.KerasTensor:
    """Reduce a feature map to one vector an image.

    Args:
        features: shape (batch, height, width, channels), or already (batch, channels).
        pooling: "average" or "max" over all positions, or "concat" for both side by side.

    Returns:
        Shape (batch, channels), twice the channels for "concat"; made by a layer named "pooled".

    Raises:
        ConfigError: if `pooling` is none of these.
    """
    check_choice("pooling", pooling, POOLINGS)
    if len(features.shape) == 2:
        return keras.layers.Identity(name=POOLED)(features)
    if pooling == "average":
        return keras.layers.GlobalAveragePooling2D(name=POOLED)(features)
    if pooling == "max":
        return keras.layers.GlobalMaxPooling2D(name=POOLED)(features)
    both = [
        keras.layers.GlobalAveragePooling2D(name="pooled_average")(features),
        keras.layers.GlobalMaxPooling2D(name="pooled_max")(features),
    ]
    return keras.layers.Concatenate(name=POOLED)(both)


def attach_heads(
    pooled: keras.KerasTensor,
    heads: Sequence[HeadSpec],
    dropout: float = 0.2,
    hidden: Sequence[int] = (),
    activation: str = "relu",
    most_words: int = 0,
) -> keras.KerasTensor | dict[str, keras.KerasTensor]:
    """Put a head for every target on shared features.

    Args:
        pooled: shape (batch, channels).
        heads: what each answers.
        dropout: share of features dropped in training, before every dense layer.
        hidden: units of hidden layers that the heads share, from the features upwards.
        activation: of the hidden layers.
        most_words: how many words of a text a head of tags answers for.

    Returns:
        For one head its output, for several a dictionary by head name. Multiclass: probabilities
        that sum to 1; multilabel: a probability for each class; regression: values in the target's
        own units. Tags: probabilities for every word, shape (batch, most_words, num_tags). Logits
        are divided by a temperature on the way, in a layer of the graph.
    """
    of_words = heads[0].task == TAGS
    x = Channels(name="channels")(pooled) if of_words else pooled
    x = keras.layers.Dropout(dropout, name="head_dropout")(x)
    for number, units in enumerate(hidden, start=1):
        x = keras.layers.Dense(units, activation=activation, name=f"head_hidden_{number}")(x)
        x = keras.layers.Dropout(dropout, name=f"head_dropout_{number}")(x)
    if of_words:
        scores = keras.layers.Dense(len(heads[0].class_names), name=dense_layer(heads[0]))(x)
        scores = WordScores(most_words, name=heads[0].logits_layer)(scores, pooled)
        return WordProbabilities(name=heads[0].output_layer, dtype="float32")(scores)
    outputs = {head.name: _answer(x, head) for head in heads}
    return outputs if len(heads) > 1 else outputs[heads[0].name]


def head_specs(
    targets: Sequence[Target], ordered: bool | Sequence[str] = False
) -> tuple[HeadSpec, ...]:
    """Describe a head for every target, with the names of the layers it will have.

    Args:
        targets: their labels are used for the scale of regression values only.
        ordered: True, or the names of the targets whose classes are steps of a scale.

    Raises:
        ConfigError: if a target's class names are doubled or too few, or `ordered` names no target
            with one class an example.
    """
    specs = []
    scales = _ordered_targets(targets, ordered)
    for target in targets:
        _check_names(target)
        prefix = "" if len(targets) == 1 else f"{_slug(target.name, targets)}_"
        output = VALUES if target.task == "regression" else PROBABILITIES
        offset, scale = _location_and_scale(target)
        specs.append(
            HeadSpec(
                target.name,
                target.task,
                target.class_names,
                prefix + LOGITS,
                prefix + output,
                offset,
                scale,
                target.name in scales,
            )
        )
    return tuple(specs)


def dense_layer(head: HeadSpec) -> str:
    """Name the layer that holds a head's own weights."""
    if head.task == TAGS:
        return head.logits_layer.removesuffix(LOGITS) + TOKENS
    return head.logits_layer.removesuffix(LOGITS) + STEPS if head.ordered else head.logits_layer


def by_head(heads: Sequence[HeadSpec], values: Any) -> Mapping[str, Any]:
    """Give values that a model takes or gives by head name, where one head has them plain."""
    return values if len(heads) > 1 else {heads[0].name: values}


def temperature_layer(head: HeadSpec) -> str | None:
    """Name the layer that divides logits by the temperature; None for regression and tags."""
    if head.task in ("regression", TAGS):
        return None
    return head.logits_layer.removesuffix(LOGITS) + TEMPERATURE


def outputs_from_logits(
    heads: Sequence[HeadSpec],
    logits: np.ndarray | Mapping[str, np.ndarray],
    temperatures: Mapping[str, float],
) -> np.ndarray | dict[str, np.ndarray]:
    """Compute the heads' outputs from logits, as the layers above them do.

    Args:
        heads: the model's heads.
        logits: shape (num_examples, num_outputs); for several heads, by head name.
        temperatures: by head name.

    Returns:
        float32, of the same shape; for several heads, by head name.
    """
    outputs = {}
    for head in heads:
        rows = np.asarray(by_head(heads, logits)[head.name]).astype(np.float64)
        if head.task == "regression":
            answer = rows * np.array(head.scale) + np.array(head.offset)
        elif head.task == "multilabel":
            answer = 0.5 * (1 + np.tanh(rows / temperatures[head.name] / 2))  # never overflows
        elif head.task == TAGS:
            present = np.any(rows, axis=-1, keepdims=True)
            answer = np.exp(rows - rows.max(axis=-1, keepdims=True)) * present
            answer /= np.maximum(answer.sum(axis=-1, keepdims=True), 1e-30)
        else:
            rows = rows / temperatures[head.name]
            answer = np.exp(rows - rows.max(axis=1, keepdims=True))
            answer /= answer.sum(axis=1, keepdims=True)
        outputs[head.name] = answer.astype(np.float32)
    return outputs if len(heads) > 1 else outputs[heads[0].name]


def _answer(x: keras.KerasTensor, head: HeadSpec) -> keras.KerasTensor:
    units = len(head.class_names) - head.ordered
    logits = keras.layers.Dense(units, name=dense_layer(head))(x)
    if head.ordered:
        logits = keras.layers.Identity(name=head.logits_layer)(_of_steps(logits))
    if head.task == "regression":
        return keras.layers.Rescaling(
            list(head.scale), list(head.offset), name=head.output_layer, dtype="float32"
        )(logits)
    cooled = keras.layers.Rescaling(1.0, name=temperature_layer(head), dtype="float32")(logits)
    if head.task == "multilabel":
        return keras.layers.Activation("sigmoid", name=head.output_layer, dtype="float32")(cooled)
    return keras.layers.Softmax(name=head.output_layer, dtype="float32")(cooled)


def _of_steps(steps: keras.KerasTensor) -> keras.KerasTensor:
    """Turn answers to "further than this class, if it got that far?" into log-probabilities.

    The probability of getting further than a class is a product of probabilities, so it cannot
    rise along the scale. Taken as logits, the log-probabilities of the classes stay what they are,
    so everything that is made for one class an example holds: losses, temperature, exports.

    Args:
        steps: logits, shape (batch, num_classes - 1).

    Returns:
        Shape (batch, num_classes).

    References:
        Shi, Cao and Raschka 2021, https://arxiv.org/abs/2111.08851.
    """
    further = keras.ops.cumsum(keras.ops.log_sigmoid(steps), axis=-1)
    ended = keras.ops.log_sigmoid(-steps)
    return keras.ops.pad(further, [[0, 0], [1, 0]]) + keras.ops.pad(ended, [[0, 0], [0, 1]])


def _ordered_targets(targets: Sequence[Target], ordered: bool | Sequence[str]) -> set[str]:
    if isinstance(ordered, bool):
        chosen = {target.name for target in targets} if ordered else set()
    else:
        chosen = {ordered} if isinstance(ordered, str) else set(ordered)
    fitting = {target.name for target in targets if target.task == "multiclass"}
    if not chosen <= fitting:
        raise ConfigError(
            "`ordered` must be True or name targets with one class an example "
            f"({', '.join(map(repr, sorted(fitting))) or 'there is none'}). Received: {ordered!r}."
        )
    return chosen


def _check_names(target: Target) -> None:
    names = list(target.class_names)
    fewest = 2 if target.task == "multiclass" else 1
    if len(names) < fewest or len(set(names)) != len(names):
        wanted = "at least two different class names" if fewest == 2 else "different class names"
        raise ConfigError(f"`data` or `class_names` must give {wanted}. Received: {names}.")


def _slug(name: str, targets: Sequence[Target]) -> str:
    """Return a name that Keras takes for a layer, different for different targets."""
    plain = re.sub(r"\W+", "_", name, flags=re.ASCII)
    same = [t.name for t in targets if re.sub(r"\W+", "_", t.name, flags=re.ASCII) == plain]
    return plain if len(same) == 1 else f"{plain}_{same.index(name) + 1}"


def _location_and_scale(target: Target) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of each quantity; the head then learns numbers near one."""
    if target.task != "regression":
        return (), ()
    offset, scale = [], []
    for column in np.asarray(target.labels, np.float64).reshape(-1, len(target.class_names)).T:
        known = column[np.isfinite(column)]
        deviation = float(known.std()) if len(known) else 0.0
        offset.append(float(known.mean()) if len(known) else 0.0)
        scale.append(deviation if deviation > 0 else 1.0)
    return tuple(offset), tuple(scale)
