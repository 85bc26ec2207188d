"""What a file's first bytes say: whether it is an image, how large, and who has to decode it."""

from __future__ import annotations

import functools
import io
import os
import stat
import struct
from dataclasses import dataclass
from typing import BinaryIO

import tensorflow as tf
from PIL import Image, UnidentifiedImageError

from tftune.data.exif import EXIF_SEARCH_BYTES, exif_orientation
from tftune.errors import DataError

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".gif", ".bmp", ".webp"}
    | {".tif", ".tiff"}
)
# Pillow is asked for these alone: some of its others run programs (EPS). MPO comes as JPEG.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")
MAX_PIXELS = 120_000_000
"""Larger images are refused: 120 megapixels are 1.4 GB as float32, and no model sees a
hundredth of them. Phones of 108 megapixels are below."""

PLAIN, GRAPH, PILLOW = 0, 1, 2
"""Who decodes a file. PLAIN: TensorFlow's decoder alone. GRAPH: TensorFlow's decoder, then alpha
or EXIF orientation in the graph. PILLOW: Pillow, for what TensorFlow cannot or should not read."""

_SUFFIXES_OF = {
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"},
    "MPO": {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"},
    "PNG": {".png", ".apng"},
    "GIF": {".gif"},
    "BMP": {".bmp"},
    "WEBP": {".webp"},
    "TIFF": {".tif", ".tiff"},
}


@dataclass(frozen=True)
class ImageHeader:
    """What is known of an image before it is decoded.

    Attributes:
        format: "JPEG", "MPO", "PNG", "GIF", "BMP", "WEBP" or "TIFF", by content.
        size: (height, width) as stored, in pixels.
        decoder: PLAIN, GRAPH or PILLOW.
    """

    format: str
    size: tuple[int, int]
    decoder: int

    def fits_suffix(self, suffix: str) -> bool:
        """Tell whether a file name's suffix says the same as the content."""
        return suffix.lower() in _SUFFIXES_OF[self.format]


def sniff_file(path: str | os.PathLike[str]) -> ImageHeader:
    """Read a file's header; see `sniff`.

    Raises:
        DataError: if it cannot be read, is no regular file, or `sniff` refuses it.
    """
    name = repr(str(path))
    try:
        # A pipe or device would block or never end, so what it is is asked before it is opened.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise DataError(f"Image {name} cannot be read: it is not a regular file.")
        with open(path, "rb") as stream:
            return _sniff(stream, f"Image {name}")
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"Image {name} cannot be read: {reason}.") from error
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"Image {name} cannot be read: {error}.") from error


def sniff(encoded: bytes, name: str = "The image") -> ImageHeader:
    """Read the header of an encoded image.

    Args:
        encoded: a file's bytes.
        name: what to call it in an error.

    Returns:
        Its format, size and decoder.

    Raises:
        DataError: if it is empty, no image of a known format, or declares too many pixels.
    """
    return _sniff(io.BytesIO(encoded), name)


def _sniff(stream: BinaryIO, name: str) -> ImageHeader:
    head = stream.read(EXIF_SEARCH_BYTES)
    if not head:
        raise DataError(f"{name} cannot be decoded: it is empty (0 bytes).")
    stream.seek(0)
    try:
        with Image.open(stream, formats=FORMATS) as image:
            width, height = image.size
            decoder = _decoder(image, head)
            kind = str(image.format)
    except UnidentifiedImageError as error:
        raise DataError(f"{name} cannot be decoded: {_what_it_is(head)}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(_too_large(name)) from error
    except MemoryError as error:
        raise DataError(_too_large(name)) from error
    # Pillow's parsers raise whatever a damaged header leads them to; the file is at fault.
    except Exception as error:
        raise DataError(
            f"{name} cannot be decoded: its header is damaged ({error}). Replace or remove it."
        ) from error
    if height * width > MAX_PIXELS:
        raise DataError(_too_large(name, f" ({width} x {height} pixels)"))
    return ImageHeader(kind, (height, width), decoder)


def _decoder(image: Image.Image, head: bytes) -> int:
    if image.format in ("JPEG", "MPO"):
        is_turned = b"Exif\0\0" in head and int(_orientation()(head)) != 1
        return GRAPH if is_turned else PLAIN
    if image.format == "PNG":
        if "exif" in image.info:
            return PILLOW
        has_alpha = image.mode in ("RGBA", "LA") or "transparency" in image.info
        return GRAPH if has_alpha or image.mode == "P" else PLAIN
    if image.format == "BMP" and len(head) > 34:
        # TensorFlow takes an 8-bit palette for gray and refuses most of the others.
        bits, compression = struct.unpack("<HI", head[28:34])
        return PLAIN if (bits, compression, image.mode) == (24, 0, "RGB") else PILLOW
    # TensorFlow reads all frames of a GIF to give the first, and has no TIFF.
    return PILLOW


@functools.lru_cache(maxsize=1)
def _orientation():
    spec = tf.TensorSpec((), tf.string)
    return tf.function(exif_orientation, input_signature=[spec])


def _too_large(name: str, size: str = "") -> str:
    return (
        f"{name} cannot be decoded: it declares more than {MAX_PIXELS // 1_000_000} megapixels"
        f"{size}. Scale it down first, or remove it if it is not yours."
    )


def _what_it_is(head: bytes) -> str:
    start = head[:512].lstrip().lower()
    if head[4:8] == b"ftyp":
        return "it is HEIC, AVIF or a video. Convert it to JPEG or PNG."
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        return "it is a web page or SVG, not an image. Download it again or remove it."
    if not head.strip(b"\0"):
        return "it holds only zero bytes. Replace or remove it."
    if head[:4] == b"%PDF":
        return "it is a PDF. Convert it to JPEG or PNG."
    if head.startswith((b"\xff\xd8", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"RIFF")):
        return "it is damaged or cut off in its header. Replace or remove it."
    return "it is not a JPEG, PNG, GIF, BMP, WebP or TIFF image. Replace or remove it."
