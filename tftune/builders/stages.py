"""Where a network can be cut in two, and the stages between the cuts."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import keras

from tftune.errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class CutPoint:
    """A place where exactly one tensor is alive.

    Attributes:
        layer: name of the operation that makes the tensor.
        shape: the tensor's shape without the batch.
    """

    layer: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Stage:
    """A piece of the backbone between two cut points.

    Attributes:
        name: as the backbone's own layer names call it, such as "block5" or "conv4".
        boundary: the cut point below it; what a cache of everything beneath holds.
        output: the cut point it ends in.
        layers: names of its operations, in order.
        parameters: number of weights.
        flops: floating-point operations an example, counting a multiply-add as two; convolutions
            and dense layers only.
        variables: the names of its weights, where the stage is part of a layer that cannot be cut:
            it can be frozen by itself, but the whole layer runs.
    """

    name: str
    boundary: CutPoint
    output: CutPoint
    layers: tuple[str, ...]
    parameters: int
    flops: int
    variables: tuple[str, ...] = ()


def cut_points(model: keras.Model) -> list[CutPoint]:
    """Find every place where a functional graph hangs by a single tensor.

    Args:
        model: a functional model with one input, each of whose operations is called once.

    Returns:
        Cut points from the input to the output, both included.
    """
    operations = model.operations
    made_at = {id(operation.output): index for index, operation in enumerate(operations)}
    last_used = dict(made_at)
    for index, operation in enumerate(operations):
        for tensor in _inputs_of(operation):
            last_used[id(tensor)] = index
    last_used[id(model.output)] = len(operations)
    points = []
    reach = 0  # the furthest operation that any tensor made so far is needed by, but the newest
    for index, operation in enumerate(operations):
        tensor = operation.output
        if reach <= index:
            points.append(CutPoint(operation.name, tuple(tensor.shape[1:])))
        reach = max(reach, last_used[id(tensor)])
    return points


def find_stages(model: keras.Model) -> tuple[Stage, ...]:
    """Group the segments between cut points into stages a reader recognises.

    A segment belongs to the family that its layers are named after ("block5_conv1", "mixed3"); one
    without a family ("add_3") to what precedes it. Neighbouring segments of one family make a
    stage. In a network whose layers have no such names, stages end where the resolution drops.

    Args:
        model: a backbone: a flat functional model from pixels to a feature map.

    Returns:
        Stages from the input upwards; together they hold every operation but the input.
    """
    points = cut_points(model)
    operations = model.operations
    position = {operation.name: index for index, operation in enumerate(operations)}
    segments = []
    for below, above in zip(points, points[1:], strict=False):
        inside = operations[position[below.layer] + 1 : position[above.layer] + 1]
        segments.append((below, above, inside))
    families = [_family_of(inside) for _, _, inside in segments]
    if not any(families):
        families = _families_by_resolution(segments)
    stages: list[Stage] = []
    family = ""
    seen: dict[str, int] = {}
    for own, (below, above, inside) in zip(_filled(families, segments), segments, strict=True):
        if stages and own == family:
            stages[-1] = _stage(
                stages[-1].name,
                stages[-1].boundary,
                above,
                operations[position[stages[-1].boundary.layer] + 1 : position[above.layer] + 1],
            )
            continue
        family = own
        seen[family] = seen.get(family, 0) + 1
        name = family if seen[family] == 1 else f"{family}_{seen[family]}"
        stages.append(_stage(name, below, above, inside))
    return tuple(part for stage in stages for part in _parts(stage, operations))


def unfrozen_stages(stages: Sequence[Stage], unfreeze: str | int | float) -> tuple[Stage, ...]:
    """Resolve what a caller wants unfrozen to the topmost stages.

    Args:
        stages: all stages, from the input upwards.
        unfreeze: "none"; "all"; an int, that many top stages; a float in (0, 1), as many top
            stages as hold at most that share of the parameters (at least one); or the name of the
            lowest stage to unfreeze.

    Returns:
        The unfrozen stages, from the lowest upwards; empty for "none".

    Raises:
        ConfigError: if `unfreeze` is none of these.
    """
    names = [stage.name for stage in stages]
    if isinstance(unfreeze, str):
        if unfreeze == "none":
            return ()
        if unfreeze == "all":
            return tuple(stages)
        if unfreeze in names:
            return tuple(stages[names.index(unfreeze) :])
        raise ConfigError(
            f"`unfreeze` must be 'none', 'all', a number of top stages, a share of the parameters "
            f"or a stage's name. Received: {unfreeze!r}.{did_you_mean(unfreeze, names)} "
            f"Stages: {', '.join(names)}."
        )
    if isinstance(unfreeze, bool) or not isinstance(unfreeze, (int, float)):
        raise ConfigError(f"`unfreeze` must be a string or a number. Received: {unfreeze!r}.")
    if isinstance(unfreeze, int):
        if 0 <= unfreeze <= len(stages):
            return tuple(stages[len(stages) - unfreeze :])
        raise ConfigError(
            f"`unfreeze` must be between 0 and {len(stages)} stages. Received: {unfreeze}."
        )
    if not 0 < unfreeze < 1:
        raise ConfigError(
            f"`unfreeze` as a share of the parameters must be in (0, 1). Received: {unfreeze}."
        )
    budget = unfreeze * sum(stage.parameters for stage in stages)
    kept = 0
    held = 0
    for stage in reversed(stages):
        held += stage.parameters
        if kept and held > budget:
            break
        kept += 1
    return tuple(stages[len(stages) - kept :])


_FAMILY_NAMES = (
    (r"(?:^|_)downsampling_block_(\d+)", lambda found: f"stage_{int(found) + 1}"),  # ConvNeXt
    (r"(?:^|_)(stage_?\d+)(?=_|$)", str),
    (r"^conv_(?:dw|pw|pad)_(\d+)", lambda found: f"block_{found}"),  # MobileNet
    (r"^(expanded_conv(?:_\d+)?)(?=_|$)", str),
    (r"^(?:normal|reduction)_()", lambda found: "cells"),  # NASNet
    (r"^(mixed_?\d+[a-z]?)(?=_|$)", str),
    (r"^(block_?\d+)(?=[a-z]?(?:_|$))", str),
    (r"^([Cc]onv_?\d+[abc]?)(?=_|$)", str),
    (r"^(embeddings|layer_\d+|pooler)$", str),  # BERT
    (r"^(hub|ngrams)$", str),
    (r"(?:^|_)(stem|top)(?=_|$)", str),
)


def _family(layer: str) -> str:
    """Return the part of a layer's name that its whole stage shares, or an empty string."""
    for pattern, name in _FAMILY_NAMES:
        match = re.search(pattern, layer)
        if match:
            return name(match.group(1))
    return ""


def _family_of(inside: Sequence[keras.Operation]) -> str:
    families = [family for operation in inside if (family := _family(operation.name))]
    return families[-1] if families else ""


def _families_by_resolution(segments: Sequence[tuple]) -> list[str]:
    number = 0
    families = []
    for below, above, _ in segments:
        if number == 0 or above.shape[:-1] != below.shape[:-1]:
            number += 1
        families.append(f"stage_{number}")
    return families


def _filled(families: Sequence[str], segments: Sequence[tuple]) -> list[str]:
    """Give the nameless segments a family: the one before, at the start "stem" or the one after."""
    filled = list(families)
    first = next((index for index, family in enumerate(filled) if family), len(filled))
    holds_weights = any(_parameters_of(op) for *_, inside in segments[:first] for op in inside)
    for index in range(first):
        filled[index] = "stem" if holds_weights or first == len(filled) else filled[first]
    for index in range(1, len(filled)):
        filled[index] = filled[index] or filled[index - 1]
    return filled


def _stage(name: str, below: CutPoint, above: CutPoint, inside: Sequence[keras.Operation]) -> Stage:
    return Stage(
        name=name,
        boundary=below,
        output=above,
        layers=tuple(operation.name for operation in inside),
        parameters=sum(_parameters_of(operation) for operation in inside),
        flops=sum(operation_flops(operation) for operation in inside),
    )


def _parts(stage: Stage, operations: Sequence[keras.Operation]) -> list[Stage]:
    """Part a stage of one layer into those that the layer itself tells by its variables' names."""
    inside = {
        operation.name: operation for operation in operations if operation.name in stage.layers
    }
    for layer in inside.values():
        named = getattr(layer, "variable_stages", None)
        if named:
            sizes = {variable.name: math.prod(variable.shape) for variable in layer.weights}
            return [
                replace(
                    stage, name=name, parameters=sum(sizes[own] for own in names), variables=names
                )
                for name, names in named.items()
            ]
    return [stage]


def variables_of(stages: Sequence[Stage], layer: str) -> set[str] | None:
    """Return the names of a layer's weights that belong to stages; None for all of them."""
    own = [stage for stage in stages if layer in stage.layers]
    if not own or not all(stage.variables for stage in own):
        return None
    return {name for stage in own for name in stage.variables}


def trained_weights(layer: keras.Layer, stages: Sequence[Stage] = ()) -> list[keras.Variable]:
    """List what of a layer training moves once its stage is unfrozen, whatever is frozen now.

    Statistics are not among them, and BatchNormalization keeps all it has.

    Args:
        layer: a layer of a model's graph.
        stages: those that are unfrozen, which may hold some of its weights only.
    """
    if isinstance(layer, (keras.layers.BatchNormalization, keras.layers.Normalization)):
        return []
    fixed = {id(variable) for variable in getattr(layer, "fixed_weights", ())}
    chosen = variables_of(stages, layer.name)
    return [
        variable
        for variable in layer.weights
        if id(variable) not in fixed and (chosen is None or variable.name in chosen)
    ]


def _inputs_of(operation: keras.Operation) -> list[keras.KerasTensor]:
    if isinstance(operation, keras.layers.InputLayer):
        return []
    inputs = operation.input
    return list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]


def _parameters_of(operation: keras.Operation) -> int:
    return operation.count_params() if isinstance(operation, keras.layers.Layer) else 0


def operation_flops(operation: keras.Operation) -> int:
    """Count two operations a kernel weight and output position; the rest is negligible.

    Args:
        operation: a layer or operation of a functional graph.

    Returns:
        Floating-point operations an example; 0 for what has no kernel.
    """
    if getattr(operation, "opaque", False):
        return 0  # a SavedModel does not say how often it uses its kernels
    kernels = [
        weight
        for weight in getattr(operation, "weights", [])
        if "kernel" in weight.name and len(weight.shape) >= 2
    ]
    positions = math.prod(side for side in operation.output.shape[1:-1] if side)
    return sum(2 * math.prod(kernel.shape) * positions for kernel in kernels)
