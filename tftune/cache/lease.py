"""Saying that a folder of the cache is in use, so that no eviction takes it away.

A lease is a shared `flock` on the folder's `used` file; whoever wants to delete needs an exclusive
one. The kernel drops locks with the process that holds them, so a kill leaves none behind. Where
there is no `flock` (Windows, some network disks) only leases of this process are seen.
"""

from __future__ import annotations

import collections
import contextlib
import os
import shutil
import tempfile
import threading
from pathlib import Path

from tftune.cache.keys import USED

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_held: collections.Counter[str] = collections.Counter()
_guard = threading.RLock()  # a lease may be collected while this thread holds it


class Lease:
    """Keeps a folder from being evicted for as long as this object lives.

    Args:
        folder: made if it does not exist; its time of last use becomes now.

    Attributes:
        alone: nobody else used the folder when the lease was taken, so whatever unfinished files
            are in it were left by a process that is gone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = str(folder.resolve())
        with _guard:
            self._handle, self.alone = _open_locked(folder)
            self.alone = self.alone and not _held[self._key]
            _held[self._key] += 1

    def share(self) -> None:
        """Let others take leases too; call it once what only a lone user may do is done."""
        if fcntl is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(self._handle, fcntl.LOCK_SH)

    def close(self) -> None:
        """Give the folder free. Happens by itself when the object is collected."""
        if self._handle < 0:
            return
        os.close(self._handle)
        self._handle = -1
        with _guard:
            _held[self._key] -= 1
            if not _held[self._key]:
                del _held[self._key]

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # the interpreter may be shutting down
            self.close()


def remove_if_unused(folder: Path) -> bool:
    """Delete a folder unless someone holds a lease on it.

    It is renamed first, so a kill half-way leaves no folder that looks whole.

    Returns:
        Whether the folder is gone.
    """
    used = folder / USED
    with _guard:
        if _held[str(folder.resolve())]:
            return False
        handle = -1
        try:
            if fcntl is not None and used.exists():
                handle = os.open(used, os.O_RDWR)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
                except OSError:
                    pass  # this disk knows no locks
            retired = Path(tempfile.mkdtemp(prefix=".removed-", dir=folder.parent))
            os.rename(folder, retired / folder.name)
        except FileNotFoundError:
            return not folder.exists()
        finally:
            if handle >= 0:
                os.close(handle)
    shutil.rmtree(retired, ignore_errors=True)
    return True


def _open_locked(folder: Path) -> tuple[int, bool]:
    used = folder / USED
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(used, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            continue  # evicted between the two lines
        alone = _lock(handle)
        # Someone may have evicted the folder before the lock was granted: then this is the lock of
        # a file that has no name any more.
        try:
            same = os.path.samestat(os.fstat(handle), os.stat(used))
        except FileNotFoundError:
            same = False
        if same:
            os.utime(used)
            return handle, alone
        os.close(handle)


def _lock(handle: int) -> bool:
    """Take the lock, alone if possible, else shared."""
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return fcntl is not None
    except OSError:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_SH)
        return False
