"""A .tflite file as a tree of objects that can be changed and written again."""

from __future__ import annotations

import copy
from typing import Any

import flatbuffers
import numpy as np


def read_tree(content: bytes) -> Any:
    """Read a .tflite file into the objects of LiteRT's own schema.

    Args:
        content: the file's content.

    Returns:
        A `ModelT`; constants that the file keeps behind its flatbuffer are in its buffers too.
    """
    from ai_edge_litert import schema_py_generated as schema

    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    for buffer in tree.buffers:
        if buffer.offset > 1:  # 0 and 1 mean that there is nothing
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return tree


def write_tree(tree: Any) -> bytes:
    """Write a tree as a file; constants that no tensor uses any more are left out.

    Args:
        tree: a `ModelT`; its unused buffers are emptied.

    Returns:
        The file's content.
    """
    used = {tensor.buffer for graph in tree.subgraphs for tensor in graph.tensors}
    used |= {entry.buffer for entry in tree.metadata or []}
    for index, buffer in enumerate(tree.buffers):
        if index not in used:
            buffer.data = None
    return pack_tree(tree)


def pack_tree(tree: Any) -> bytes:
    """Write a tree as a file, as it is."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def is_layer(tree: Any, operator: Any) -> bool:
    """Say whether an operator is a convolution or a dense layer."""
    from ai_edge_litert import schema_py_generated as schema

    kinds = schema.BuiltinOperator
    code = tree.operatorCodes[operator.opcodeIndex]
    return max(code.builtinCode, code.deprecatedBuiltinCode) in (
        kinds.CONV_2D,
        kinds.DEPTHWISE_CONV_2D,
        kinds.FULLY_CONNECTED,
    )


def is_constant(tree: Any, tensor: Any) -> bool:
    """Say whether a tensor is in the file, not computed."""
    data = tree.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def replace_constant(tree: Any, operator: Any, place: int, values: np.ndarray) -> None:
    """Give an operator a constant of its own: equal ones share their place in a file.

    Args:
        tree: a `ModelT` with one subgraph, changed in place.
        operator: one of its operators.
        place: which of the operator's inputs.
        values: of the type and shape of the constant that is there.
    """
    from ai_edge_litert import schema_py_generated as schema

    graph, index = tree.subgraphs[0], int(operator.inputs[place])
    tensor, holder = copy.copy(graph.tensors[index]), schema.BufferT()
    holder.data = np.frombuffer(values.tobytes(), np.uint8)
    tensor.buffer = len(tree.buffers)
    tree.buffers.append(holder)
    users = sum(int(i) == index for each in graph.operators for i in each.inputs)
    if users == 1:
        graph.tensors[index] = tensor
        return
    tensor.name += f"_{len(graph.tensors)}".encode()
    graph.tensors.append(tensor)
    inputs = [int(i) for i in operator.inputs]
    inputs[place] = len(graph.tensors) - 1
    operator.inputs = inputs
