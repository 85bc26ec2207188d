"""A shard: a few megabytes of rows in a .npy file, and an index that says whose rows they are.

The .npy file is renamed into place first and its index last, so a shard is there with its index or
it does not count. Names are random, so processes never write to the same file.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import secrets
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tftune.atomic import replaced_file
from tftune.errors import CacheFullError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What writing to a full disk, or beyond a quota, fails with."""

_CHUNK = 1 << 20

_intact: dict[str, tuple[int, int]] = {}
"""Shards whose checksum this process has compared, with time and size of the file then."""


@dataclass(frozen=True)
class Shard:
    """Rows in a file.

    Attributes:
        path: the .npy file.
        offset: where its numbers begin, in bytes.
        dtype: "float32" or "float16".
        row_shape: the shape of one example's activations.
        fingerprints: whose row each is, in order.
        checksum: CRC-32 of the whole file.
    """

    path: Path
    offset: int
    dtype: str
    row_shape: tuple[int, ...]
    fingerprints: tuple[str, ...]
    checksum: int

    @property
    def row_bytes(self) -> int:
        """Size of one row in bytes."""
        return math.prod(self.row_shape) * np.dtype(self.dtype).itemsize

    @property
    def size_bytes(self) -> int:
        """Size the file must have."""
        return self.offset + self.row_bytes * len(self.fingerprints)

    def is_intact(self) -> bool:
        """Tell whether the file is what was written; a file is read once a process for that."""
        try:
            status = self.path.stat()
            seen = (status.st_mtime_ns, status.st_size)
            if _intact.get(str(self.path)) == seen:
                return True
            if status.st_size != self.size_bytes or _checksum(self.path) != self.checksum:
                return False
        except OSError:
            return False
        _intact[str(self.path)] = seen
        return True

    def remove(self) -> None:
        """Delete index and rows, in this order, so that no index names rows that are not there."""
        for path in (self.path.with_suffix(".json"), self.path):
            with contextlib.suppress(OSError):
                path.unlink()


def write_shard(folder: Path, rows: np.ndarray, fingerprints: Sequence[str]) -> Shard:
    """Write rows and then their index.

    Args:
        folder: where to; made if needed.
        rows: shape (num_rows, ...), as they shall be stored.
        fingerprints: whose row each is.

    Returns:
        The shard.

    Raises:
        CacheFullError: if the disk is full; nothing of the shard is left then.
    """
    path = folder / f"{secrets.token_hex(12)}.npy"
    try:
        with replaced_file(path) as temporary:
            with open(temporary, "wb") as stream:
                _write_rows(stream, rows)
            size = temporary.stat().st_size
            checksum = _checksum(temporary)
        shard = Shard(
            path=path,
            offset=size - rows.nbytes,
            dtype=rows.dtype.name,
            row_shape=tuple(rows.shape[1:]),
            fingerprints=tuple(fingerprints),
            checksum=checksum,
        )
        index = {
            "offset": shard.offset,
            "dtype": shard.dtype,
            "row_shape": list(shard.row_shape),
            "checksum": shard.checksum,
            "fingerprints": list(shard.fingerprints),
        }
        with replaced_file(path.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps(index), encoding="utf-8")
    except BaseException as error:
        # Also on Ctrl-C: rows without an index would only take up room.
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in FULL:
            raise disk_full(folder) from error
        raise
    status = path.stat()
    _intact[str(path)] = (status.st_mtime_ns, status.st_size)
    return shard


def disk_full(folder: Path) -> CacheFullError:
    """Say that the disk is full."""
    return CacheFullError(
        f"The disk that holds the activation cache is full: {str(folder)!r}. Free some space, "
        "point TFTUNE_CACHE at another disk, or train with `cache='off'`."
    )


def read_shards(folder: Path) -> list[Shard]:
    """Return every shard that has a readable index; what the rows hold is not looked at."""
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    shards = []
    for name in names:
        if name.endswith(".json") and not name.startswith("."):
            shard = _read_index(folder / name)
            if shard is not None:
                shards.append(shard)
    return shards


def remove_leftovers(folder: Path) -> None:
    """Delete what killed processes left: unfinished files, and rows without a readable index.

    Only for a lone user: what another process is writing looks the same.
    """
    whole = {shard.path.stem for shard in read_shards(folder)}
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name.startswith(".") or path.stem not in whole:
            with contextlib.suppress(OSError):
                path.unlink()


def _write_rows(stream: BinaryIO, rows: np.ndarray) -> None:
    # Not by `np.save`: on a full disk its OSError has no errno, and could be anything.
    np.lib.format.write_array_header_1_0(
        stream, {"descr": rows.dtype.str, "fortran_order": False, "shape": rows.shape}
    )
    stream.write(np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data)


def _read_index(path: Path) -> Shard | None:
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        return Shard(
            path=path.with_suffix(".npy"),
            offset=int(index["offset"]),
            dtype=np.dtype(index["dtype"]).name,
            row_shape=tuple(int(side) for side in index["row_shape"]),
            fingerprints=tuple(index["fingerprints"]),
            checksum=int(index["checksum"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _checksum(path: Path) -> int:
    value = 0
    with open(path, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            value = zlib.crc32(chunk, value)
    return value
