"""Writing and reading flatbuffer tables without generated code.

TFLite metadata is a flatbuffer with the file identifier "M001". No maintained package offers its
schema with a protobuf that TensorFlow accepts, and what is needed of it is small: tables whose
slots hold strings, small integers, floats, and vectors of tables or floats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flatbuffers
import flatbuffers.number_types as numbers
import flatbuffers.table

_OFFSET_BYTES = 4


@dataclass(frozen=True)
class Byte:
    """An 8-bit slot: an enumeration's value or a union's type.

    Attributes:
        value: what it holds.
        signed: whether the schema declares it `byte` rather than `ubyte`.
    """

    value: int
    signed: bool = False


Slots = Mapping[int, Any]
"""A table to write: by slot a str, float, Byte, nested Slots, or a list of floats or Slots."""


def pack(root: Slots, identifier: bytes) -> bytes:
    """Write a tree of tables as a flatbuffer.

    Args:
        root: the outermost table.
        identifier: the schema's four-byte file identifier.

    Returns:
        The finished buffer.
    """
    builder = flatbuffers.Builder(1024)
    builder.Finish(_table(builder, root), file_identifier=identifier)
    return bytes(builder.Output())


def _table(builder: flatbuffers.Builder, slots: Slots) -> int:
    # Children come first: a flatbuffer is written from its end towards its root.
    children = {slot: _child(builder, value) for slot, value in slots.items() if _is_child(value)}
    builder.StartObject(max(slots, default=0) + 1)
    for slot, value in slots.items():
        if slot in children:
            builder.PrependUOffsetTRelativeSlot(slot, children[slot], 0)
        elif isinstance(value, Byte) and value.signed:
            builder.PrependInt8Slot(slot, value.value, 0)
        elif isinstance(value, Byte):
            builder.PrependUint8Slot(slot, value.value, 0)
        else:
            builder.PrependFloat32Slot(slot, value, 0.0)
    return builder.EndObject()


def _is_child(value: Any) -> bool:
    return isinstance(value, (str, Mapping, list))


def _child(builder: flatbuffers.Builder, value: Any) -> int:
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, Mapping):
        return _table(builder, value)
    if value and isinstance(value[0], float):
        builder.StartVector(4, len(value), 4)
        for number in reversed(value):
            builder.PrependFloat32(number)
        return builder.EndVector()
    offsets = [_table(builder, item) for item in value]
    builder.StartVector(_OFFSET_BYTES, len(offsets), _OFFSET_BYTES)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


class TableReader:
    """Reads the slots of one table; an absent slot reads as nothing.

    Args:
        table: the flatbuffers library's own view of it.
    """

    def __init__(self, table: flatbuffers.table.Table) -> None:
        self._table = table

    @classmethod
    def root(cls, buffer: bytes) -> TableReader:
        """Return the outermost table of a buffer."""
        position = flatbuffers.encode.Get(flatbuffers.packer.uoffset, buffer, 0)
        return cls(flatbuffers.table.Table(buffer, position))

    def text(self, slot: int) -> str:
        """Return a string slot, or an empty string."""
        place = self._place(slot)
        return self._table.String(place).decode() if place else ""

    def byte(self, slot: int) -> int:
        """Return an 8-bit slot, or 0."""
        place = self._place(slot)
        return self._table.Get(numbers.Uint8Flags, place) if place else 0

    def table(self, slot: int) -> TableReader | None:
        """Return a nested table, a union's value included."""
        place = self._place(slot)
        if not place:
            return None
        return TableReader(flatbuffers.table.Table(self._table.Bytes, self._table.Indirect(place)))

    def tables(self, slot: int) -> list[TableReader]:
        """Return a vector of tables."""
        start, length = self._vector(slot)
        positions = (self._table.Indirect(start + i * _OFFSET_BYTES) for i in range(length))
        return [TableReader(flatbuffers.table.Table(self._table.Bytes, p)) for p in positions]

    def floats(self, slot: int) -> list[float]:
        """Return a vector of float32."""
        start, length = self._vector(slot)
        return [self._table.Get(numbers.Float32Flags, start + i * 4) for i in range(length)]

    def _place(self, slot: int) -> int:
        offset = self._table.Offset(4 + 2 * slot)
        return offset + self._table.Pos if offset else 0

    def _vector(self, slot: int) -> tuple[int, int]:
        offset = self._table.Offset(4 + 2 * slot)
        return (self._table.Vector(offset), self._table.VectorLen(offset)) if offset else (0, 0)
