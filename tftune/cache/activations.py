"""The value that holds cached activations: rows on disk that are gathered by index.

Rows are read by position rather than mapped. Mapped pages count as memory of the process, so
training over a mapped cache looks (and, in a container with a limit, is) as large as the cache; and
reading a mapped file that someone cut short kills the process.
"""

from __future__ import annotations

import collections
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tftune.cache.lease import Lease
from tftune.cache.shards import Shard
from tftune.errors import CacheError

_OPEN_FILES = 64


@dataclass(frozen=True)
class PassReport:
    """What a request for activations cost.

    Attributes:
        engine: "tensorflow", "tensorflow folded", "litert", or "" when nothing was computed.
        reason: why this engine, in words.
        computed: rows that were computed.
        reused: examples whose rows were in the cache.
        seconds: how long it took, hashing the examples and the trunk included.
    """

    engine: str = ""
    reason: str = ""
    computed: int = 0
    reused: int = 0
    seconds: float = 0.0


class Activations:
    """Cached activations of some examples, in their order. Holds row numbers, not rows.

    `activations[indices]`, `activations[3]`, `activations[5:9]` and `np.asarray(activations)` give
    NumPy arrays. Memory is what is asked for. May be used by several threads. While it lives, its
    rows are not evicted.

    Attributes:
        shape: (num_examples, *boundary shape).
        dtype: float32 or float16.
        report: what it cost to make.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        shard_of: np.ndarray,
        row_of: np.ndarray,
        row_shape: tuple[int, ...],
        dtype: str,
        lease: Lease | None = None,
        report: PassReport | None = None,
    ) -> None:
        self.shape = (len(shard_of), *row_shape)
        self.dtype = np.dtype(dtype)
        self.report = report or PassReport()
        self._shards = tuple(shards)
        self._shard_of = np.asarray(shard_of, np.int64)
        self._row_of = np.asarray(row_of, np.int64)
        self._lease = lease
        self._files = _Files()

    @property
    def engine(self) -> str:
        """What ran the trunk; "" when every row was in the cache."""
        return self.report.engine

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of numbers."""
        return int(np.prod(self.shape))

    @property
    def nbytes(self) -> int:
        """Size as one array, in bytes."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"Activations(shape={self.shape}, dtype={self.dtype.name})"

    def __getitem__(self, key: Any) -> np.ndarray:
        if isinstance(key, tuple):
            first, *rest = key
            rows = self[first]
            lead = () if np.ndim(first) == 0 and not isinstance(first, slice) else (slice(None),)
            return rows[(*lead, *rest)]
        chosen = np.arange(len(self))[key]
        if chosen.ndim == 0:
            return self._gather(chosen.reshape(1))[0]
        return self._gather(chosen.ravel()).reshape(*chosen.shape, *self.shape[1:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("Activations are on disk; an array of them is always a copy.")
        everything = self._gather(np.arange(len(self)))
        return everything if dtype is None else everything.astype(dtype, copy=False)

    def _gather(self, chosen: np.ndarray) -> np.ndarray:
        result = np.empty((len(chosen), *self.shape[1:]), self.dtype)
        row_bytes = result[:1].nbytes
        if not len(chosen) or not row_bytes:
            return result
        shards, rows = self._shard_of[chosen], self._row_of[chosen]
        # Neighbours in a file that are neighbours in the result too are read at once.
        joined = (np.diff(shards) == 0) & (np.diff(rows) == 1)
        starts = np.concatenate([[0], np.flatnonzero(~joined) + 1])
        ends = np.append(starts[1:], len(chosen))
        target = memoryview(result.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            shard = self._shards[shards[start]]
            position = shard.offset + int(rows[start]) * row_bytes
            part = target[start * row_bytes : end * row_bytes]
            self._files.read(str(shard.path), position, part)
        return result


class _Files:
    """A bounded number of open files, read by position."""

    def __init__(self) -> None:
        self._open: collections.OrderedDict[str, _File] = collections.OrderedDict()
        self._guard = threading.Lock()

    def read(self, path: str, position: int, target: memoryview) -> None:
        with self._guard:
            file = self._open.get(path)
            if file is None:
                file = self._open[path] = _File(path)
            self._open.move_to_end(path)
            if len(self._open) > _OPEN_FILES:
                self._open.popitem(last=False)  # closed when the last reader lets go
        file.read(position, target)


class _File:
    def __init__(self, path: str) -> None:
        self._path = path
        self._guard = threading.Lock()
        try:
            self._stream = open(path, "rb", buffering=0)
        except OSError as error:
            raise self._damaged() from error

    def read(self, position: int, target: memoryview) -> None:
        done = 0
        while done < len(target):
            if hasattr(os, "preadv"):
                count = os.preadv(self._stream.fileno(), [target[done:]], position + done)
            else:
                with self._guard:
                    self._stream.seek(position + done)
                    count = self._stream.readinto(target[done:]) or 0
            if not count:
                raise self._damaged()
            done += count

    def __del__(self) -> None:
        stream = getattr(self, "_stream", None)
        if stream is not None:
            stream.close()

    def _damaged(self) -> CacheError:
        return CacheError(
            f"Cached activations went missing or were cut short while in use: {self._path!r}. "
            "Run again; what is missing is computed anew."
        )
