"""Reading legacy torch checkpoints with numpy alone, trusting nothing in the file."""

from __future__ import annotations

import collections
import math
import os
import pickle
import pickletools
import struct
from collections.abc import Collection
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from tftune.errors import WeightsError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_ZIP_SIGNATURE = b"PK\x03\x04"
_MAX_DIMENSIONS = 32  # numpy 1.26 holds no more

# The format stores raw little-endian bytes; bfloat16 and complex storages are left out on purpose.
_STORAGE_DTYPES: dict[str, np.dtype[Any]] = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}


def read_torch_checkpoint(
    path: str | os.PathLike[str], names: Collection[str] | None = None
) -> dict[str, np.ndarray]:
    """Read a state dict written by torch in the legacy (non-zip) format, without torch.

    The file is five pickles (magic number, protocol version, system information, state dict,
    storage keys) and then each storage: an int64 element count and its raw bytes. Pickle can run
    any code, so every one of the five is read by an unpickler that knows three things only:
    `collections.OrderedDict`, `torch._utils._rebuild_tensor_v2` and the storage classes.

    Args:
        path: a `.pth` or `.pt` file holding one flat mapping from names to tensors.
        names: of the tensors to read, as far as the file holds them; all by default.

    Returns:
        Arrays by name, in the file's order; each is writable, C-contiguous and owns its data. No
        more of the file than they and one more storage take is in memory at a time.

    Raises:
        WeightsError: if the file is missing, truncated, not such a checkpoint, asks for a
            forbidden global, or holds a tensor that reaches outside its storage.

    Example:
        >>> read_torch_checkpoint("efficientnet-lite0.pth")["_conv_stem.weight"].shape
        (32, 3, 3, 3)

    References:
        `_legacy_save` in https://github.com/pytorch/pytorch/blob/main/torch/serialization.py
    """
    try:
        with open(path, "rb") as stream:
            return _read(stream, names)
    except (OSError, _RefusedError) as reason:
        raise WeightsError(
            f"`path` must be a legacy torch checkpoint. Received: {os.fspath(path)!r}. {reason}"
        ) from reason


class _RefusedError(Exception):
    """Why the file cannot be read; becomes a WeightsError once the path is known."""


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype[Any]
    num_elements: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _RebuildTensor:
    """Stands in for `torch._utils._rebuild_tensor_v2` and only notes its arguments.

    Pickle's BUILD can set attributes on whatever `find_class` hands out, classes and functions
    included. This is an instance without attributes so that a file has nothing to alter.
    """

    __slots__ = ()

    def __call__(
        self,
        storage: Any,
        offset: Any,
        size: Any,
        stride: Any,
        requires_grad: Any = None,
        backward_hooks: Any = None,
        metadata: Any = None,
    ) -> _Tensor:
        if not isinstance(storage, _Storage):
            raise _RefusedError("A tensor is not backed by a storage.")
        if len(size) != len(stride) or len(size) > _MAX_DIMENSIONS:
            raise _RefusedError(
                f"A tensor has {len(size)} dimensions and {len(stride)} strides; it must have one "
                f"stride for each of at most {_MAX_DIMENSIONS} dimensions."
            )
        if not all(_is_count(number) for number in (offset, *size, *stride)):
            raise _RefusedError(
                f"A tensor has offset {offset!r}, size {size!r} and stride {stride!r}; "
                "they must be non-negative integers below 2**63."
            )
        return _Tensor(storage, offset, tuple(size), tuple(stride))


def _is_count(number: Any) -> bool:
    return isinstance(number, int) and 0 <= number < 2**63


class _RestrictedUnpickler(pickle.Unpickler):
    """Unpickles plain values, OrderedDict and tensor records; refuses every other global."""

    def __init__(self, stream: BinaryIO, storages: dict[str, _Storage]) -> None:
        super().__init__(stream, encoding="utf-8")
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _RebuildTensor()
        if module == "torch" and name in _STORAGE_DTYPES:
            return name
        raise _RefusedError(
            f"It asks for the forbidden global '{module}.{name}', which was not loaded. Only "
            "state dicts of plain tensors are read; trust the source before another program "
            "loads this file."
        )

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage_class, key, _location, count, *view = pid
        if kind != "storage" or storage_class not in _STORAGE_DTYPES:
            raise _RefusedError(f"It refers to an unknown kind of storage, {pid!r}.")
        if not isinstance(key, str) or not _is_count(count):
            raise _RefusedError(f"A storage has the key {key!r} and {count!r} elements.")
        if view not in ([], [None]):
            raise _RefusedError("It holds views of storages (torch 0.3 and older), not supported.")
        storage = _Storage(key, _STORAGE_DTYPES[storage_class], count)
        if self._storages.setdefault(key, storage) != storage:
            raise _RefusedError(f"The storage {key!r} is described in two different ways.")
        return storage


def _read(stream: BinaryIO, names: Collection[str] | None) -> dict[str, np.ndarray]:
    if stream.read(len(_ZIP_SIGNATURE)) == _ZIP_SIGNATURE:
        raise _RefusedError(
            "It is in torch's zip format (1.6 and newer). Save it again with "
            "`torch.save(state_dict, path, _use_new_zipfile_serialization=False)`."
        )
    stream.seek(0)
    for expected, what in ((_MAGIC, "magic number"), (_PROTOCOL, "protocol version")):
        received = _load_pickle(stream, f"the {what}", {})
        if received != expected:
            raise _RefusedError(f"Its {what} is not {expected}.")
    system = _load_pickle(stream, "the system information", {})
    if type(system) is not dict or system.get("little_endian") is not True:
        raise _RefusedError(
            "It was not written on a little-endian machine, the only kind supported."
        )
    declared: dict[str, _Storage] = {}
    state_dict = _load_pickle(stream, "the state dict", declared)
    if not isinstance(state_dict, dict):
        raise _RefusedError(f"It holds a {type(state_dict).__name__}, not a mapping of tensors.")
    keys = _load_pickle(stream, "the storage keys", {})
    places = _find_storages(stream, keys, declared)
    # A file may hide `items` behind an instance attribute of its OrderedDict, so dict's is used.
    tensors = {
        _checked_name(name): _checked_tensor(name, tensor)
        for name, tensor in dict.items(state_dict)
        if names is None or name in names
    }
    # A storage that several tensors share is kept until the last of them has its part.
    waiting = collections.Counter(tensor.storage.key for tensor in tensors.values())
    contents: dict[str, bytes] = {}
    arrays = {}
    for name, tensor in tensors.items():
        key = tensor.storage.key
        if key not in contents:
            contents[key] = _read_storage(stream, places[key], tensor.storage)
        arrays[name] = _copy(name, tensor, contents[key])
        waiting[key] -= 1
        if not waiting[key]:
            del contents[key]
    return arrays


def _load_pickle(stream: BinaryIO, what: str, storages: dict[str, _Storage]) -> Any:
    try:
        start = stream.tell()
        _check_opcodes(stream)
        stream.seek(start)
        return _RestrictedUnpickler(stream, storages).load()
    except _RefusedError:
        raise
    # Unpickling hostile bytes raises nearly anything (the documentation of pickle says so).
    except Exception as error:
        raise _RefusedError(
            f"Reading {what} failed ({type(error).__name__}: {error}); it is truncated or is "
            "another kind of file."
        ) from error


def _check_opcodes(stream: BinaryIO) -> None:
    """Look through one pickle, running nothing, for what `find_class` would not see."""
    for position, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        # Extension codes are resolved from a process-wide cache that bypasses find_class.
        if opcode.name.startswith("EXT"):
            raise _RefusedError("It uses pickle's extension registry, which is forbidden.")
        # The C unpickler allocates its memo up to the largest index, 64 GB from a few bytes.
        if "PUT" in opcode.name and argument is not None and argument > position:
            raise _RefusedError(f"Its pickle has the impossible memo index {argument}.")


def _find_storages(stream: BinaryIO, keys: Any, declared: dict[str, _Storage]) -> dict[str, int]:
    """Return where the bytes of each storage begin, having seen that the file holds all of them."""
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise _RefusedError("Its storage keys are not a list of names.")
    if sorted(keys) != sorted(declared):
        raise _RefusedError("Its storage keys are not those that its tensors refer to.")
    places = {}
    for key in keys:
        storage = declared[key]
        header = stream.read(8)
        if len(header) < 8:
            raise _RefusedError(f"It is truncated before the storage {key!r}; fetch it again.")
        (count,) = struct.unpack("<q", header)
        if count != storage.num_elements:
            raise _RefusedError(
                f"The storage {key!r} holds {count} elements and was declared with "
                f"{storage.num_elements}."
            )
        size_bytes = count * storage.dtype.itemsize
        left_bytes = os.fstat(stream.fileno()).st_size - stream.tell()
        if size_bytes > left_bytes:
            raise _RefusedError(
                f"It is truncated: the storage {key!r} needs {size_bytes} bytes and {left_bytes} "
                "are left; fetch it again."
            )
        places[key] = stream.tell()
        stream.seek(size_bytes, os.SEEK_CUR)
    return places


def _read_storage(stream: BinaryIO, place: int, storage: _Storage) -> bytes:
    stream.seek(place)
    return stream.read(storage.num_elements * storage.dtype.itemsize)


def _checked_name(name: Any) -> str:
    if not isinstance(name, str):
        raise _RefusedError(f"Its state dict has a {type(name).__name__} for a key, not a name.")
    return name


def _checked_tensor(name: str, tensor: Any) -> _Tensor:
    if not isinstance(tensor, _Tensor):
        raise _RefusedError(
            f"The entry {name!r} is a {type(tensor).__name__}, not a tensor. Save the state dict "
            "alone, with nothing around it."
        )
    return tensor


def _copy(name: str, tensor: _Tensor, content: bytes) -> np.ndarray:
    storage, offset, size, stride = tensor
    num_elements = math.prod(size)
    # Python integers: a crafted stride cannot overflow its way past this comparison.
    last = offset + sum((s - 1) * step for s, step in zip(size, stride, strict=True))
    if num_elements and last >= storage.num_elements:
        raise _RefusedError(
            f"The tensor {name!r} reaches element {last}, out of the bounds of its storage of "
            f"{storage.num_elements} elements."
        )
    # A stride of 0 could unfold four bytes into any amount of memory.
    if num_elements > storage.num_elements:
        raise _RefusedError(
            f"The tensor {name!r} is expanded: {num_elements} elements over a storage of "
            f"{storage.num_elements}, not supported. Save it with `.contiguous()`."
        )
    itemsize = storage.dtype.itemsize
    try:
        if not num_elements:
            return np.empty(size, storage.dtype)
        # Unlike as_strided, this constructor compares the strides with the buffer's length.
        view = np.ndarray(
            size,
            storage.dtype,
            buffer=content,
            offset=offset * itemsize,
            strides=[step * itemsize for step in stride],
        )
    # A stride whose bytes pass int64, along a dimension of one element.
    except (ValueError, OverflowError) as error:
        raise _RefusedError(f"The tensor {name!r} has an impossible shape ({error}).") from error
    return view.copy()
