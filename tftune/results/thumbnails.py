"""Small pictures of examples, for pages that show them."""

from __future__ import annotations

import base64
import io
import warnings

import numpy as np
from PIL import Image, ImageOps

SIDE = 96  # pixels of a thumbnail's longer side


def thumbnail_of_file(path: str, side: int = SIDE) -> bytes | None:
    """Return a file's picture as a small JPEG.

    Args:
        path: an image file, read now; EXIF orientation is honoured, alpha laid over white.
        side: pixels of the longer side, at most.

    Returns:
        A JPEG file's bytes, or None where the file shows no picture.
    """
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore")
            if image.width * image.height > (Image.MAX_IMAGE_PIXELS or float("inf")):
                raise ValueError("too large")
            image.draft("RGB", (side, side))
            return _encoded(ImageOps.exif_transpose(image), side)
    except Exception:  # a damaged file may raise anything; a page must show nevertheless
        return None


def thumbnail_of_pixels(pixels: np.ndarray, side: int = SIDE) -> bytes:
    """Return pixels as a small JPEG.

    Args:
        pixels: uint8, shape (height, width, 3), RGB.
        side: pixels of the longer side, at most.

    Returns:
        A JPEG file's bytes.
    """
    return _encoded(Image.fromarray(pixels), side)


def data_uri(jpeg: bytes) -> str:
    """Return a JPEG file's bytes as a URI that a page can hold."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _encoded(image: Image.Image, side: int) -> bytes:
    small = image.convert("RGBA")
    small.thumbnail((side, side))
    paper = Image.new("RGBA", small.size, "white")
    paper.alpha_composite(small)
    encoded = io.BytesIO()
    paper.convert("RGB").save(encoded, "JPEG", quality=80)
    return encoded.getvalue()
