"""How much the cache may hold, and what goes when it holds more."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tftune.cache.keys import ABOUT, USED, rows_folders
from tftune.cache.lease import remove_if_unused
from tftune.cache.shards import read_shards
from tftune.display import show_size
from tftune.errors import CacheFullError, ConfigError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_LARGEST_DEFAULT = 20 * 10**9
_FREE_SHARE = 0.5


@dataclass(frozen=True)
class Entry:
    """One trunk's folder in the cache.

    Attributes:
        folder: where it is.
        size_bytes: all its files together.
        last_used: seconds since 1970.
        about: what is known of the trunk.
        rows: examples held, by dtype and view.
    """

    folder: Path
    size_bytes: int
    last_used: float
    about: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)


def parse_size(text: str, name: str = "TFTUNE_CACHE_BUDGET") -> int:
    """Read a size such as "500MB", "20 GB" or "1000000", in decimal units.

    Returns:
        Bytes.

    Raises:
        ConfigError: if it is none.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?\s*", text.lower())
    if not match:
        raise ConfigError(f"`{name}` must be a size such as '20GB' or '500MB'. Received: {text!r}.")
    return int(float(match[1]) * _UNITS[match[2]])


def default_budget(place: Path, held: int) -> int:
    """Return the budget in bytes: `TFTUNE_CACHE_BUDGET`, or 20 GB, or what the disk bears.

    Args:
        place: the cache's folder.
        held: bytes in it already.

    Returns:
        Without the variable, the smaller of 20 GB and half of what the disk would have free if the
        cache were empty.

    Raises:
        ConfigError: if the variable holds no size.
    """
    chosen = os.environ.get("TFTUNE_CACHE_BUDGET")
    if chosen:
        return parse_size(chosen)
    return min(_LARGEST_DEFAULT, int((free_bytes(place) + held) * _FREE_SHARE))


def free_bytes(place: Path) -> int:
    """Return the bytes free on the disk that holds, or would hold, a folder."""
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def folders(root: Path) -> list[Path]:
    """Return the trunks' folders; deletes what an interrupted removal left."""
    if not root.is_dir():
        return []
    found = []
    for path in sorted(root.iterdir()):
        if path.name.startswith(".removed-"):
            shutil.rmtree(path, ignore_errors=True)
        elif path.is_dir():
            found.append(path)
    return found


def entry(folder: Path, count_rows: bool = False) -> Entry:
    """Describe a trunk's folder.

    Args:
        folder: the folder.
        count_rows: also read the indices.
    """
    rows = {}
    if count_rows:
        for path in rows_folders(folder):
            rows[path.name] = len({f for shard in read_shards(path) for f in shard.fingerprints})
    about = {}
    with contextlib.suppress(OSError, ValueError):
        read = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        about = read if isinstance(read, dict) else {}
    try:
        last_used = (folder / USED).stat().st_mtime
    except OSError:
        last_used = folder.stat().st_mtime
    return Entry(folder, _size(folder), last_used, about, rows)


def entries(root: Path, count_rows: bool = False) -> list[Entry]:
    """Describe every trunk in the cache, the one used longest ago first.

    Args:
        root: the folder of trunks.
        count_rows: also read the indices.
    """
    found = []
    for folder in folders(root):
        with contextlib.suppress(FileNotFoundError):  # another process may just be evicting it
            found.append(entry(folder, count_rows))
    return sorted(found, key=lambda item: item.last_used)


def room(root: Path, budget: int | None = None) -> int:
    """Return the bytes that activations could take if all that is older gave way.

    Args:
        root: the folder of trunks.
        budget: bytes the cache may hold; the default budget if None.
    """
    held = sum(item.size_bytes for item in entries(root))
    allowed = default_budget(root, held) if budget is None else budget
    return min(allowed, free_bytes(root) + held)


def make_room(root: Path, needed: int, budget: int | None = None) -> list[Path]:
    """Evict the least recently used trunks until `needed` more bytes fit the budget.

    What anyone holds a lease on stays.

    Args:
        root: the folder of trunks.
        needed: bytes about to be written.
        budget: bytes the cache may hold; the default budget if None.

    Returns:
        The folders that were deleted.

    Raises:
        CacheFullError: if they cannot fit, or the disk has not that much free.
    """
    oldest_first = entries(root)
    held = sum(item.size_bytes for item in oldest_first)
    allowed = default_budget(root, held) if budget is None else budget
    evicted = []
    for item in oldest_first:
        if held + needed <= allowed:
            break
        if remove_if_unused(item.folder):
            evicted.append(item.folder)
            held -= item.size_bytes
    if held + needed > allowed:
        raise CacheFullError(
            f"The activation cache may hold {show_size(allowed)} and would need "
            f"{show_size(held + needed)}, of which {show_size(held)} are in use. Raise "
            "TFTUNE_CACHE_BUDGET (such as '50GB'), store float16, or train with `cache='off'`."
        )
    free = free_bytes(root)
    if needed > free:
        raise CacheFullError(
            f"The activation cache needs {show_size(needed)} and {str(root)!r} has "
            f"{show_size(free)} free. Free some space, point TFTUNE_CACHE at another disk, or "
            "train with `cache='off'`."
        )
    return evicted


def clear(root: Path, older_than: float = 0.0) -> tuple[list[Entry], list[Entry]]:
    """Delete trunks that were last used more than `older_than` seconds ago.

    Returns:
        What was deleted, and what stayed because it is in use.
    """
    removed: list[Entry] = []
    kept: list[Entry] = []
    for item in entries(root):
        if time.time() - item.last_used < older_than:
            continue
        (removed if remove_if_unused(item.folder) else kept).append(item)
    return removed, kept


def _size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(parent, name)).st_size
    return total
