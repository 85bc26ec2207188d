"""Where boundary activations are kept: one memory-mapped array a trunk and set of examples."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import platformdirs

from tftune.atomic import replaced_file


def cache_folder() -> Path:
    """Return the folder that holds the cache: `TFTUNE_CACHE`, or the user's cache folder."""
    chosen = os.environ.get("TFTUNE_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("tftune"))


class ActivationStore:
    """Arrays addressed by the content they were computed from.

    Attributes:
        folder: the root of the cache.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = Path(folder) if folder is not None else cache_folder()

    def path(self, trunk: str, examples: Sequence[str], dtype: str) -> Path:
        """Return the file for a trunk's activations on examples.

        Args:
            trunk: the trunk's fingerprint.
            examples: one content fingerprint an example, in order.
            dtype: "float32" or "float16".
        """
        digest = hashlib.blake2b("\n".join(examples).encode(), digest_size=16).hexdigest()
        return self.folder / "activations" / f"{trunk}-{dtype}" / f"{digest}.npy"

    def read(self, path: Path) -> np.ndarray | None:
        """Return the memory-mapped array, or None if it is not there or cannot be read."""
        try:
            return np.load(path, mmap_mode="r")
        except (OSError, ValueError):
            return None

    def write(
        self, path: Path, shape: tuple[int, ...], dtype: str, batches: Sequence[np.ndarray]
    ) -> np.ndarray:
        """Write batches one after another; the file appears when all are there.

        Args:
            path: the file.
            shape: (num_examples, ...) of the whole array.
            dtype: how numbers are stored.
            batches: an iterable of arrays that together have `shape`.

        Returns:
            The finished array, memory-mapped for reading.
        """
        with replaced_file(path) as temporary:
            array = np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=shape)
            done = 0
            for batch in batches:
                array[done : done + len(batch)] = batch
                done += len(batch)
            array.flush()
            del array
        return np.load(path, mmap_mode="r")
