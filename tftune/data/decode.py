"""From an encoded image to RGB pixels: the one definition of what pixels a file has.

Gray, palette, CMYK and 16-bit images (their high byte) become 8-bit RGB; transparent pixels show a
background colour; the first frame of an animation counts; EXIF orientation is undone. TensorFlow
decodes whatever it decodes rightly, so that a served graph sees the very pixels training saw;
Pillow decodes the rest.
"""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

from tftune.data.exif import exif_orientation, upright
from tftune.data.headers import FORMATS, GRAPH, PILLOW, PLAIN, sniff, sniff_file
from tftune.errors import DataError

WHITE = (255, 255, 255)
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N")


def decode_image(encoded: tf.Tensor, background: Sequence[int] = WHITE) -> tf.Tensor:
    """Decode JPEG, PNG, GIF or BMP bytes inside a TensorFlow graph.

    JPEG (with its EXIF orientation), PNG (with its alpha, without an eXIf chunk), GIF without
    transparency and 24-bit BMP give exactly the pixels of `decode_bytes`. Of other BMP, of
    transparent GIF and of WebP this graph may give others or an error, and of TIFF an error.

    Args:
        encoded: string scalar, the file's bytes.
        background: RGB in [0, 255], shown behind transparent pixels.

    Returns:
        uint8, shape (height, width, 3), RGB in [0, 255].
    """
    is_png = tf.strings.substr(encoded, 0, 8) == _PNG_SIGNATURE
    is_jpeg = tf.strings.substr(encoded, 0, 3) == b"\xff\xd8\xff"

    def png() -> tf.Tensor:
        # Byte 25 is the colour type: 3 is a palette, 4 and 6 have alpha. A false find of "tRNS"
        # among compressed bytes costs time only, since every pixel is then opaque.
        colour_type = tf.strings.substr(encoded, 25, 1)
        may_have_alpha = tf.reduce_any(colour_type == [b"\3", b"\4", b"\6"])
        may_have_alpha |= tf.size(tf.strings.split(encoded, sep="tRNS", maxsplit=1)) > 1
        return tf.cond(
            may_have_alpha,
            lambda: _png_with_alpha(encoded, background),
            lambda: decode_plain(encoded),
        )

    def others() -> tf.Tensor:
        return tf.cond(
            is_jpeg,
            lambda: upright(decode_plain(encoded), exif_orientation(encoded)),
            lambda: decode_plain(encoded),
        )

    # A PNG too short for its colour type goes to the decoder, which says that it is damaged.
    pixels = tf.cond(is_png & (tf.strings.length(encoded) > 33), png, others)
    return tf.ensure_shape(pixels, (None, None, 3))


def decode_plain(encoded: tf.Tensor) -> tf.Tensor:
    """Decode bytes of which the header says PLAIN: TensorFlow's own decoder and nothing else."""
    pixels = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    return tf.ensure_shape(pixels, (None, None, 3))


def decode_by(encoded: tf.Tensor, decoder: tf.Tensor, background: Sequence[int]) -> tf.Tensor:
    """Decode bytes whose header is already known; only where Python runs, never in an export.

    Args:
        encoded: string scalar, a file's bytes.
        decoder: int32 scalar, PLAIN, GRAPH or PILLOW as `sniff` found.
        background: RGB in [0, 255], shown behind transparent pixels.

    Returns:
        uint8, shape (height, width, 3), RGB in [0, 255].
    """
    by_pillow = functools.partial(decode_with_pillow, background=tuple(background))
    pixels = tf.switch_case(
        decoder,
        [
            lambda: decode_plain(encoded),
            lambda: decode_image(encoded, background),
            lambda: tf.numpy_function(by_pillow, [encoded], tf.uint8),
        ],
    )
    return tf.ensure_shape(pixels, (None, None, 3))


def decode_bytes(
    encoded: bytes, background: Sequence[int] = WHITE, name: str = "The image"
) -> np.ndarray:
    """Decode an image of any supported format.

    Args:
        encoded: a file's bytes: JPEG, PNG, GIF, BMP, WebP or TIFF.
        background: RGB in [0, 255], shown behind transparent pixels.
        name: what to call it in an error.

    Returns:
        uint8, shape (height, width, 3), RGB in [0, 255].

    Raises:
        DataError: if it is no image, damaged, or larger than `MAX_PIXELS`.
    """
    return decode_and_say_how(encoded, background, name)[0]


def decode_and_say_how(
    encoded: bytes, background: Sequence[int] = WHITE, name: str = "The image"
) -> tuple[np.ndarray, int]:
    """Decode like `decode_bytes`, and say which decoder did it: PLAIN, GRAPH or PILLOW.

    It is the one that the header asks for, or Pillow where TensorFlow fails and Pillow does not.
    """
    decoder = sniff(encoded, name).decoder
    try:
        if decoder == PLAIN:
            return decode_plain(tf.constant(encoded)).numpy(), PLAIN
        if decoder == GRAPH:
            return _compiled(tuple(background))(tf.constant(encoded)).numpy(), GRAPH
    except (tf.errors.OpError, MemoryError):
        pass
    try:
        return decode_with_pillow(encoded, background), PILLOW
    except DataError as error:
        raise DataError(f"{name} cannot be decoded: {error}") from error


def read_image(path: str | os.PathLike[str], background: Sequence[int] = WHITE) -> np.ndarray:
    """Read one image file; see `decode_bytes`.

    Args:
        path: an image file.
        background: RGB in [0, 255], shown behind transparent pixels.

    Returns:
        uint8, shape (height, width, 3), RGB in [0, 255].

    Raises:
        DataError: if the file is missing or is not an image that can be decoded.
    """
    sniff_file(path)
    return decode_bytes(Path(path).read_bytes(), background, f"Image {str(path)!r}")


def decode_with_pillow(encoded: bytes, background: Sequence[int] = WHITE) -> np.ndarray:
    """Decode with Pillow, by the definition that the module gives.

    Args:
        encoded: a file's bytes.
        background: RGB in [0, 255], shown behind transparent pixels.

    Returns:
        uint8, shape (height, width, 3), RGB in [0, 255].

    Raises:
        DataError: if Pillow cannot decode it; the sentence lacks the file's name.
    """
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as opened:
            opened.load()
            image = ImageOps.exif_transpose(opened)
        return _as_rgb(image, background)
    except DataError:
        raise
    # Pillow's decoders raise whatever a damaged file leads them to; the file is at fault.
    except Exception as error:
        raise DataError(_DAMAGED) from error


_DAMAGED = "it is damaged or cut off. Replace or remove it."


def _as_rgb(image: Image.Image, background: Sequence[int]) -> np.ndarray:
    is_deep_png = image.mode == "I" and image.format == "PNG"  # Pillow before 11.2
    if image.mode in _DEEP_MODES or is_deep_png:
        gray = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(gray[..., np.newaxis], 3, axis=-1)
    if image.mode in ("I", "F"):
        raise DataError(
            "it holds 32-bit values, whose white is not defined. Convert it to 8 or 16 bits."
        )
    if image.has_transparency_data:
        values = np.asarray(image.convert("RGBA")).astype(np.int32)
        return _composite(values[..., :3], values[..., 3:], background).astype(np.uint8)
    return np.asarray(image.convert("RGB"))


def _png_with_alpha(encoded: tf.Tensor, background: Sequence[int]) -> tf.Tensor:
    values = tf.cast(tf.io.decode_png(encoded, channels=4), tf.int32)
    return tf.cast(_composite(values[..., :3], values[..., 3:], background), tf.uint8)


def _composite(colour, alpha, background: Sequence[int]):
    """Lay int32 colour over a background, rounded to nearest, for arrays and tensors alike."""
    return (colour * alpha + np.array(background, np.int32) * (255 - alpha) + 127) // 255


@functools.lru_cache(maxsize=8)
def _compiled(background: tuple[int, ...]):
    spec = tf.TensorSpec((), tf.string)
    return tf.function(lambda encoded: decode_image(encoded, background), input_signature=[spec])
