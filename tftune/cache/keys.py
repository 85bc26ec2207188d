"""What decides a cached activation, spelled as names of folders.

activations/<trunk>/            one frozen trunk: its graph, weights, boundary and resize contract
    about.json                  for people: backbone, boundary
    used                        its time says when the folder was last used; locked while in use
    litert.npz, engine.json     the converted trunk, and what was measured about engines
    from-<layer>/               the same two of the part of the trunk above that layer
    <dtype>[-<view>]/           rows of that dtype and view
        <shard>.npy             rows, one after another
        <shard>.json            which example each row belongs to; a shard counts once it is there
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import platformdirs

from tftune.errors import check_choice

DTYPES = ("float32", "float16")
ABOUT = "about.json"
USED = "used"
CONVERTED = "litert.npz"
MEASURED = "engine.json"


def cache_folder() -> Path:
    """Return the folder that holds the cache: `TFTUNE_CACHE`, or the user's cache folder."""
    chosen = os.environ.get("TFTUNE_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("tftune"))


def engine_folder(folder: Path, begins_at: str = "") -> Path:
    """Return where a trunk's conversion and measurement are kept.

    Args:
        folder: the trunk's.
        begins_at: the layer it begins at, where it is a part of one; "" for all of it.
    """
    if not begins_at:
        return folder
    return folder / f"from-{hashlib.blake2b(begins_at.encode(), digest_size=8).hexdigest()}"


def rows_folders(folder: Path) -> list[Path]:
    """Return those folders of a trunk that hold rows, in order of their names."""
    return sorted(p for p in folder.iterdir() if p.name.startswith(DTYPES) and p.is_dir())


def rows_name(dtype: str, view: str) -> str:
    """Name the folder of rows with one dtype and view.

    Args:
        dtype: how numbers are stored, "float32" or "float16".
        view: what decides a random augmentation (policy, seed, index), or "" for none.

    Raises:
        ConfigError: if `dtype` is another one.
    """
    check_choice("dtype", dtype, DTYPES)
    if not view:
        return dtype
    return f"{dtype}-{hashlib.blake2b(view.encode(), digest_size=16).hexdigest()}"
