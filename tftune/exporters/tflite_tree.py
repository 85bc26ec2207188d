"""A .tflite file as a tree of objects that can be changed and written again."""

from __future__ import annotations

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
