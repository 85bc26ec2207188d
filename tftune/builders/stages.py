"""Where a network can be cut in two, and the stages between the cuts."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

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
    """

    name: str
    boundary: CutPoint
    output: CutPoint
    layers: tuple[str, ...]
    parameters: int
    flops: int


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

    Neighbouring segments whose last layers share a family name ("block5_conv1" and "block5_pool")
    make one stage. Segments that end in a layer without one ("add_3") join what precedes them.

    Args:
        model: a backbone: a flat functional model from pixels to a feature map.

    Returns:
        Stages from the input upwards; together they hold every operation but the input.
    """
    points = cut_points(model)
    operations = model.operations
    position = {operation.name: index for index, operation in enumerate(operations)}
    groups: list[tuple[str, CutPoint, CutPoint]] = []
    for below, above in zip(points, points[1:], strict=False):
        family = _family(above.layer)
        if groups and family in (groups[-1][0], ""):
            groups[-1] = (groups[-1][0], groups[-1][1], above)
        else:
            groups.append((family or "stem", below, above))
    stages = []
    seen: dict[str, int] = {}
    for family, below, above in groups:
        inside = operations[position[below.layer] + 1 : position[above.layer] + 1]
        seen[family] = seen.get(family, 0) + 1
        name = family if seen[family] == 1 else f"{family}_{seen[family]}"
        stages.append(
            Stage(
                name=name,
                boundary=below,
                output=above,
                layers=tuple(operation.name for operation in inside),
                parameters=sum(_parameters_of(operation) for operation in inside),
                flops=sum(_flops_of(operation) for operation in inside),
            )
        )
    return tuple(stages)


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


def _family(layer: str) -> str:
    """Return the part of a layer's name that its whole stage shares, or an empty string."""
    for pattern in (
        r"((?:block|conv|mixed|stage)_?\d+)(?=[a-z]?(?:_|$))",
        r"(stem|top)_",
    ):
        match = re.match(pattern, layer)
        if match:
            return match.group(1)
    return ""


def _inputs_of(operation: keras.Operation) -> list[keras.KerasTensor]:
    if isinstance(operation, keras.layers.InputLayer):
        return []
    inputs = operation.input
    return list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]


def _parameters_of(operation: keras.Operation) -> int:
    return operation.count_params() if isinstance(operation, keras.layers.Layer) else 0


def _flops_of(operation: keras.Operation) -> int:
    """Count two operations a kernel weight and output position; the rest is negligible."""
    kernels = [
        weight
        for weight in getattr(operation, "weights", [])
        if "kernel" in weight.name and len(weight.shape) >= 2
    ]
    positions = math.prod(side for side in operation.output.shape[1:-1] if side)
    return sum(2 * math.prod(kernel.shape) * positions for kernel in kernels)
