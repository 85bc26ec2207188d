"""Making every layer of an 8-bit .tflite file give what the float network's layer gives.

Rounding a convolution's weights moves each of its output channels, on the average over images, to
one side; after fifty layers that is most of an 8-bit network's error. Layer after layer from the
input on, so that each sees what the corrected ones before it give, the weights of small layers are
rounded anew (see `weight_rounding`), and the mean shift that is left is measured on real images and
subtracted from the bias. Ranges, size and speed stay as they are.

Measured on EfficientNet-Lite0, on images neither trained nor calibrated on, by the share of answers
that stay the float network's: scanned digits 96.7% before, 98.2% with the biases corrected;
Fashion-MNIST 96.3%, 97.2% with the biases, 98.0% with the weights of small layers too. Scaling
channels to equal ranges beforehand (cross-layer equalization) added nothing to that, and neither
did more images or a second round.

References:
    Nagel et al. 2019, https://arxiv.org/abs/1906.04721, section 4.2 and appendix D (the empirical
    form).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tftune.exporters.mean_activations import allocated, mean_activations
from tftune.exporters.tflite_tree import (
    is_constant,
    is_layer,
    pack_tree,
    read_tree,
    replace_constant,
    write_tree,
)
from tftune.exporters.weight_rounding import round_weights, windows

MOST_IMAGES = 50
"""More change nothing; the mean over an image's positions counts as well."""
_MOST_BYTES = 2**28  # of one activation, over all images
# Rounding anew takes the cube of the terms of a sum in time. In large sums errors average out.
_MOST_TERMS = 256

_Rows = list[np.ndarray]


def correct_layers(
    content: bytes, reference: bytes, images: Iterable[np.ndarray]
) -> tuple[bytes, int]:
    """Bring each layer's output near that of the float network.

    Args:
        content: an 8-bit .tflite file with one input, its tensors named as in `reference`.
        reference: the same network in float32.
        images: real inputs, each of shape (1, height, width, 3); the first `MOST_IMAGES` are used,
            fewer where activations are large.

    Returns:
        The corrected content, and how many layers were corrected. A file with subgraphs, as loops
        have, is returned as it is.
    """
    tree = read_tree(content)
    if len(tree.subgraphs) != 1 or len(tree.subgraphs[0].inputs) != 1:
        return content, 0
    examples = [image for image, _ in zip(images, range(_how_many(tree)), strict=False)]
    means = _layer_means(reference, examples)
    kernels = _kernels(reference)
    graph = tree.subgraphs[0]
    source = int(graph.inputs[0])
    known: dict[int, _Rows] = {source: [_stored(x, graph.tensors[source]) for x in examples]}
    corrected = 0
    last = {int(i): place for place, op in enumerate(graph.operators) for i in op.inputs}
    for place, operator in enumerate(graph.operators):
        fed = _computed_inputs(tree, operator)
        rows = list(zip(*(known[i] for i in fed), strict=True))
        output = graph.tensors[operator.outputs[0]]
        correctable = output.name in means and _has_integer_bias(tree, operator)
        if correctable:
            _round_anew(tree, operator, known[int(operator.inputs[0])], kernels[output.name])
        outputs = _run_each(tree, operator, fed, rows)
        if correctable:
            _add_to_bias(tree, operator, means[output.name] - _mean(outputs[0], output))
            corrected += 1
            outputs = _run_each(tree, operator, fed, rows)
        known |= dict(zip(map(int, operator.outputs), outputs, strict=True))
        known = {i: kept for i, kept in known.items() if last.get(i, -1) > place}
    return write_tree(tree), corrected


def _how_many(tree: Any) -> int:
    sizes = [int(np.prod(tensor.shape)) for tensor in tree.subgraphs[0].tensors]
    return max(4, min(MOST_IMAGES, _MOST_BYTES // max(sizes)))


def _layer_means(content: bytes, images: Sequence[np.ndarray]) -> dict[bytes, np.ndarray]:
    """Return each layer's mean output, shape (channels,), over positions and images, by name."""
    tree = read_tree(content)
    graph = tree.subgraphs[0]
    layers = [int(op.outputs[0]) for op in graph.operators if is_layer(tree, op)]
    means = mean_activations(content, images, layers)
    return {graph.tensors[index].name: mean for index, mean in means.items()}


def _has_integer_bias(tree: Any, operator: Any) -> bool:
    from ai_edge_litert import schema_py_generated as schema

    if not is_layer(tree, operator) or len(operator.inputs) < 3 or operator.inputs[2] < 0:
        return False
    tensor = tree.subgraphs[0].tensors[operator.inputs[2]]
    return tensor.type == schema.TensorType.INT32 and is_constant(tree, tensor)


def _kernels(content: bytes) -> dict[bytes, np.ndarray]:
    """Return the float32 kernel of each layer, by the name of its output."""
    tree = read_tree(content)
    tensors = tree.subgraphs[0].tensors
    kernels = {}
    for operator in tree.subgraphs[0].operators:
        if is_layer(tree, operator):
            kernel = tensors[operator.inputs[1]]
            values = np.empty(0, np.float32)
            if is_constant(tree, kernel):
                data = bytes(tree.buffers[kernel.buffer].data)
                values = np.frombuffer(data, np.float32).reshape(kernel.shape)
            kernels[tensors[operator.outputs[0]].name] = values
    return kernels


def _round_anew(tree: Any, operator: Any, rows: _Rows, kernel: np.ndarray) -> None:
    """Round the weights of a small convolution by what it sees in the images."""
    from ai_edge_litert import schema_py_generated as schema

    tensor = tree.subgraphs[0].tensors[operator.inputs[1]]
    source = tree.subgraphs[0].tensors[operator.inputs[0]]
    options = operator.builtinOptions
    if tensor.type != schema.TensorType.INT8 or kernel.shape != tuple(tensor.shape):
        return
    if len(kernel.shape) != 4 or options.dilationWFactor != 1 or options.dilationHFactor != 1:
        return
    depthwise = isinstance(options, schema.DepthwiseConv2DOptionsT)
    channels = rows[0].shape[-1]
    terms = kernel.shape[1] * kernel.shape[2] * (1 if depthwise else channels)
    # Neither grouped convolutions nor several outputs of one channel.
    if terms > _MOST_TERMS or kernel.shape[-1] != channels:
        return
    rng = np.random.default_rng(0)
    strides = (options.strideH, options.strideW)
    same = options.padding == schema.Padding.SAME
    zero, scale = source.quantization.zeroPoint[0], source.quantization.scale[0]
    seen = np.concatenate(
        [
            windows(
                (row[0].astype(np.float32) - zero) * scale, kernel.shape[1:3], strides, same, rng
            )
            for row in rows
        ]
    )
    seen -= seen.mean(axis=0)  # the mean is the bias's affair
    steps = np.asarray(tensor.quantization.scale, np.float64)
    if depthwise:  # every channel is a group of its own
        each = seen.reshape(len(seen), terms, channels).transpose(2, 1, 0)
        groups = kernel.reshape(terms, 1, channels).transpose(2, 1, 0)
        steps = np.broadcast_to(steps, channels)[:, None]
    else:
        each = seen.reshape(1, len(seen), terms).transpose(0, 2, 1)
        groups = kernel.reshape(1, -1, terms)
        steps = np.broadcast_to(steps, len(kernel))[None]
    covariance = (each @ each.transpose(0, 2, 1)).astype(np.float64) / len(seen)
    values = round_weights(groups, covariance, steps)
    values = values.transpose(2, 1, 0) if depthwise else values
    replace_constant(tree, operator, 1, np.ascontiguousarray(values).reshape(kernel.shape))


def _add_to_bias(tree: Any, operator: Any, missing: np.ndarray) -> None:
    tensor = tree.subgraphs[0].tensors[operator.inputs[2]]
    limits = np.iinfo(np.int32)
    # Both are float64, which holds every int32.
    steps = np.round(missing / np.asarray(tensor.quantization.scale))
    values = np.frombuffer(bytes(tree.buffers[tensor.buffer].data), np.int32) + steps
    replace_constant(tree, operator, 2, np.clip(values, limits.min, limits.max).astype(np.int32))


def _run_each(tree: Any, operator: Any, fed: Sequence[int], rows: Sequence[Any]) -> list[_Rows]:
    """Run one operator on each example; returns for each output its values by example."""
    run = _alone(tree, operator, fed)
    return [list(values) for values in zip(*(run(row) for row in rows), strict=True)]


def _alone(tree: Any, operator: Any, fed: Sequence[int]) -> Callable[[Any], _Rows]:
    """Make a network of one operator, whose inputs are the tensors `fed`."""
    from ai_edge_litert import schema_py_generated as schema

    tensors = tree.subgraphs[0].tensors
    indices = dict.fromkeys(int(i) for i in (*operator.inputs, *operator.outputs) if i >= 0)
    place = {index: new for new, index in enumerate(indices)} | {-1: -1}
    model, graph, alone = schema.ModelT(), schema.SubGraphT(), copy.copy(operator)
    model.version, model.operatorCodes = 3, tree.operatorCodes
    model.buffers, graph.tensors = [schema.BufferT()], []
    for index in indices:
        tensor = copy.copy(tensors[index])
        if is_constant(tree, tensor):
            model.buffers.append(tree.buffers[tensor.buffer])
            tensor.buffer = len(model.buffers) - 1
        else:
            tensor.buffer = 0
        graph.tensors.append(tensor)
    alone.inputs = [place[int(i)] for i in operator.inputs]
    alone.outputs = [place[int(i)] for i in operator.outputs]
    graph.inputs, graph.outputs = [place[i] for i in fed], alone.outputs
    graph.operators, model.subgraphs = [alone], [graph]
    interpreter = allocated(pack_tree(model))
    sources = [each["index"] for each in interpreter.get_input_details()]
    sinks = [each["index"] for each in interpreter.get_output_details()]

    def run(values: Any) -> _Rows:
        for index, value in zip(sources, values, strict=True):
            interpreter.set_tensor(index, value)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in sinks]

    return run


def _computed_inputs(tree: Any, operator: Any) -> list[int]:
    tensors = tree.subgraphs[0].tensors
    inputs = dict.fromkeys(int(i) for i in operator.inputs if i >= 0)
    return [i for i in inputs if not is_constant(tree, tensors[i])]


def _stored(image: np.ndarray, tensor: Any) -> np.ndarray:
    from ai_edge_litert import schema_py_generated as schema

    kinds = {schema.TensorType.UINT8: np.uint8, schema.TensorType.INT8: np.int8}
    if tensor.type not in kinds:
        return image
    limits = np.iinfo(kinds[tensor.type])
    steps = np.round(image / tensor.quantization.scale[0]) + tensor.quantization.zeroPoint[0]
    return np.clip(steps, limits.min, limits.max).astype(kinds[tensor.type])


def _mean(rows: _Rows, tensor: Any) -> np.ndarray:
    means = [row.reshape(-1, row.shape[-1]).mean(axis=0, dtype=np.float64) for row in rows]
    mean = np.mean(means, axis=0)
    if rows[0].dtype.kind == "f":
        return mean
    return (mean - tensor.quantization.zeroPoint[0]) * tensor.quantization.scale[0]
