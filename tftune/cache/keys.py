"""What decides a cached activation, spelled as names of folders.

activations/<trunk>/            one frozen trunk: its graph, weights, boundary and resize contract
    about.json                  for people: backbone, boundary
    used                        its time says when the folder was last used; locked while in use
    litert.npz, engine.json     the converted trunk, and what was measured about engines
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
