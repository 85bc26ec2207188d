"""Activations addressed by the example they belong to."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tftune.atomic import write_json
from tftune.cache import budget
from tftune.cache.activations import Activations, PassReport
from tftune.cache.keys import ABOUT, cache_folder, rows_folders, rows_name
from tftune.cache.lease import Lease
from tftune.cache.shards import FULL, Shard, disk_full, read_shards, remove_leftovers, write_shard
from tftune.errors import CacheError

SHARD_BYTES = 8 << 20
SHARD_SECONDS = 10.0


class ActivationStore:
    """The cache on disk. Several processes may use one at the same time.

    Args:
        folder: the root of the cache; `TFTUNE_CACHE` or the user's cache folder by default.
        budget_bytes: what it may hold; `TFTUNE_CACHE_BUDGET` or the default if None.
        shard_bytes: rows are written once this many bytes are together ...
        shard_seconds: ... or this much time has gone by, so that a kill loses little work.

    Attributes:
        folder: the root of the cache.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        budget_bytes: int | None = None,
        shard_bytes: int = SHARD_BYTES,
        shard_seconds: float = SHARD_SECONDS,
    ) -> None:
        self.folder = Path(folder) if folder is not None else cache_folder()
        self.budget_bytes = budget_bytes
        self.shard_bytes = shard_bytes
        self.shard_seconds = shard_seconds

    @property
    def root(self) -> Path:
        """The folder with one folder a trunk."""
        return self.folder / "activations"

    def trunk_folder(self, trunk: str) -> Path:
        """Return the folder of a trunk, by its fingerprint."""
        return self.root / trunk

    def open(
        self, trunk: str, dtype: str, view: str = "", about: Mapping[str, Any] | None = None
    ) -> Rows:
        """Open the rows of a trunk, which are not evicted while the result lives.

        Args:
            trunk: the trunk's fingerprint.
            dtype: how numbers are stored, "float32" or "float16".
            view: what decides a random augmentation, or "" for none.
            about: what to write down about the trunk, for people.

        Raises:
            ConfigError: if `dtype` is another one.
            CacheFullError: if the disk is full.
            CacheError: if the folder cannot be written to.
        """
        name = rows_name(dtype, view)
        folder = self.trunk_folder(trunk)
        try:
            lease = Lease(folder)
            try:
                if lease.alone:
                    for path in rows_folders(folder):
                        remove_leftovers(path)
            finally:
                lease.share()
            if about and not (folder / ABOUT).exists():
                write_json(folder / ABOUT, {"trunk": trunk, **about})
        except OSError as error:
            if error.errno in FULL:
                raise disk_full(folder) from error
            raise CacheError(
                f"The activation cache cannot be written to: {error}. "
                "Point TFTUNE_CACHE at another folder, or train with `cache='off'`."
            ) from error
        return Rows(folder / name, dtype, lease, self)

    @property
    def room(self) -> int:
        """Bytes that activations could take if all that is older gave way."""
        return budget.room(self.root, self.budget_bytes)

    def make_room(self, needed: int) -> list[Path]:
        """Evict what was used longest ago until `needed` more bytes fit; see `budget.make_room`."""
        return budget.make_room(self.root, needed, self.budget_bytes)


class Rows:
    """The rows of one trunk, dtype and view.

    Args:
        folder: where they are.
        dtype: how they are stored.
        lease: keeps the folder from being evicted.
        store: says when a shard is full.
    """

    def __init__(self, folder: Path, dtype: str, lease: Lease, store: ActivationStore) -> None:
        self.folder = folder
        self.dtype = dtype
        self.lease = lease
        self.store = store
        self._shards: list[Shard] = []
        self._places: dict[str, tuple[int, int]] = {}
        for shard in read_shards(folder):
            self._add(shard)

    def missing(self, fingerprints: Sequence[str]) -> np.ndarray:
        """Find the examples that have no row; damaged shards are deleted on the way.

        Returns:
            int, positions in `fingerprints`, ascending; of equal examples only the first.
        """
        needed = {self._places[f][0] for f in set(fingerprints) if f in self._places}
        damaged = [i for i in needed if not self._shards[i].is_intact()]
        if damaged:
            for index in damaged:
                self._shards[index].remove()
            kept = [s for i, s in enumerate(self._shards) if i not in set(damaged)]
            self._shards, self._places = [], {}
            for shard in kept:
                self._add(shard)
            return self.missing(fingerprints)  # another shard may hold the rows too, or be damaged
        first: dict[str, int] = {}
        for position, fingerprint in enumerate(fingerprints):
            if fingerprint not in self._places:
                first.setdefault(fingerprint, position)
        return np.array(list(first.values()), dtype=np.int64)

    def writer(self) -> Writer:
        """Return what takes new rows."""
        return Writer(self)

    def activations(
        self, fingerprints: Sequence[str], row_shape: tuple[int, ...], report: PassReport
    ) -> Activations:
        """Return the rows of examples, all of which must be there.

        Args:
            fingerprints: one an example, in the order wanted.
            row_shape: the shape of one row.
            report: what it cost.
        """
        places = np.array([self._places[f] for f in fingerprints], np.int64).reshape(-1, 2)
        return Activations(
            self._shards, places[:, 0], places[:, 1], row_shape, self.dtype, self.lease, report
        )

    def write(self, rows: np.ndarray, fingerprints: Sequence[str]) -> None:
        """Write a shard."""
        self._add(write_shard(self.folder, rows, fingerprints))

    def _add(self, shard: Shard) -> None:
        if shard.dtype != self.dtype:
            return
        self._shards.append(shard)
        place = len(self._shards) - 1
        self._places.update((f, (place, row)) for row, f in enumerate(shard.fingerprints))


class Writer:
    """Collects rows and writes a shard whenever there is enough; use it in a `with` block.

    When the block raises, what was collected is still written, unless writing is what failed.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._waiting: list[np.ndarray] = []
        self._fingerprints: list[str] = []
        self._bytes = 0
        self._since = time.monotonic()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None or not issubclass(kind, OSError):
            self.flush()

    def add(self, rows: np.ndarray, fingerprints: Sequence[str]) -> None:
        """Take rows.

        Args:
            rows: float, shape (num_rows, ...).
            fingerprints: whose rows they are.

        Raises:
            CacheError: if a value is beyond what the dtype can hold.
            CacheFullError: if the disk is full.
        """
        stored = _stored(rows, self._rows.dtype)
        self._waiting.append(stored)
        self._fingerprints.extend(fingerprints)
        self._bytes += stored.nbytes
        store = self._rows.store
        late = time.monotonic() - self._since >= store.shard_seconds
        if late or self._bytes >= store.shard_bytes:
            self.flush()

    def flush(self) -> None:
        """Write what was collected."""
        if self._waiting:
            self._rows.write(np.concatenate(self._waiting), self._fingerprints)
        self._waiting, self._fingerprints, self._bytes = [], [], 0
        self._since = time.monotonic()


def _stored(rows: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "float16":
        largest = float(np.abs(rows).max(initial=0))
        if largest > float(np.finfo(np.float16).max):
            raise CacheError(
                f"Activations reach {largest:.3g}, and float16 ends at 65504. "
                "Use `cache_dtype='float32'`."
            )
    return np.ascontiguousarray(rows, dtype=dtype)
