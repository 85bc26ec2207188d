"""Encoded images written to the cache folder once, named by their content."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from tftune.atomic import replaced_file
from tftune.data.image_files import fingerprint


def kept_images_folder() -> Path:
    """Return the folder of kept images: in `TFTUNE_CACHE`, or in the user's cache folder."""
    chosen = os.environ.get("TFTUNE_CACHE")
    return Path(chosen or platformdirs.user_cache_dir("tftune")) / "images"


def keep_image(encoded: bytes, folder: Path) -> str:
    """Write an encoded image unless it is there already.

    Args:
        encoded: a file's bytes.
        folder: where images are kept.

    Returns:
        Its path, the same for the same bytes.
    """
    digest = fingerprint(encoded)
    path = folder / digest[:2] / f"{digest}.image"
    if not path.exists() or path.stat().st_size != len(encoded):
        with replaced_file(path) as temporary:
            temporary.write_bytes(encoded)
    return str(path)
