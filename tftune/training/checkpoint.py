"""Checkpoints of a run: whole files from which training continues at the very next batch."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from tftune.atomic import replaced_file

_SHARE_OF_TIME = 0.05


class Checkpoints:
    """The newest state of a run, written so that a kill leaves the last one or the new one.

    A checkpoint is one `.npz` file named after its phase, epoch and step. It holds arrays and what
    JSON can say beside them. An older one is removed once the newer one is in place.

    Args:
        folder: where they go, made when the first is written; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._cost = 0.0
        self._written_at = 0.0

    @property
    def due(self) -> bool:
        """Whether another one would take at most a twentieth of the time since the last."""
        if self.folder is None:
            return False
        return (time.perf_counter() - self._written_at) * _SHARE_OF_TIME >= self._cost

    def write(self, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Write a checkpoint and remove the ones before it.

        Args:
            meta: JSON-ready; its "phase", "epoch" and "step" (all from 0) name the file.
            arrays: by name; no name may be "meta".
        """
        if self.folder is None:
            return
        started = time.perf_counter()
        place = "phase-{:02d}-epoch-{:05d}-step-{:06d}.npz".format(
            meta["phase"] + 1, meta["epoch"], meta["step"]
        )
        told = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
        with replaced_file(self.folder / place) as temporary, open(temporary, "wb") as stream:
            np.savez(stream, meta=told, **arrays)  # type: ignore[arg-type]
        for older in self._files():
            if older.name != place:
                older.unlink(missing_ok=True)
        self._written_at = time.perf_counter()
        self._cost = self._written_at - started

    def read(self) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        """Return the newest checkpoint's meta and arrays, or None; clears what a kill left over."""
        if self.folder is None or not self.folder.is_dir():
            return None
        for leftover in self.folder.glob(".phase-*"):
            leftover.unlink(missing_ok=True)
        files = self._files()
        if not files:
            return None
        with np.load(files[-1]) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return json.loads(arrays.pop("meta").tobytes()), arrays

    def clear(self) -> None:
        """Remove all checkpoints; a finished run needs none."""
        for file in self._files():
            file.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        assert self.folder is not None
        return sorted(self.folder.glob("phase-*.npz"))
