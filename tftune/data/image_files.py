"""Images on disk, decoded each time they are needed."""

from __future__ import annotations

import functools
import hashlib
import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from tftune.data.decode import (
    WHITE,
    decode_and_say_how,
    decode_by,
    decode_plain,
    decode_with_pillow,
    read_image,
)
from tftune.data.headers import PILLOW, PLAIN, sniff_file
from tftune.errors import DataError

DECODING = 2
"""Another number whenever the same bytes would become other pixels: caches tell them apart."""


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Images on disk.

    Attributes:
        paths: one file an example.
        known_decoders: how each file is to be decoded, as `sniff_file` says; found out when first
            needed if None.
        known_fingerprints: each file's digest; found out when first needed if None.
    """

    paths: tuple[str, ...]
    known_decoders: tuple[int, ...] | None = None
    known_fingerprints: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, indices: np.ndarray) -> ImageFiles:
        """Return the chosen examples, in the order given."""

        def chosen(values):
            return None if values is None else tuple(values[index] for index in indices)

        return ImageFiles(
            tuple(self.paths[index] for index in indices),
            chosen(self.known_decoders),
            chosen(self.known_fingerprints),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The paths."""
        return self.paths

    @functools.cached_property
    def decoders(self) -> tuple[int, ...]:
        """Who decodes each file: PLAIN, GRAPH or PILLOW."""
        if self.known_decoders is not None:
            return self.known_decoders
        with ThreadPoolExecutor() as pool:
            return tuple(header.decoder for header in pool.map(sniff_file, self.paths))

    @functools.cached_property
    def fingerprints(self) -> tuple[str, ...]:
        """A digest of each file's bytes, 32 hexadecimal digits each."""
        if self.known_fingerprints is not None:
            return self.known_fingerprints
        with ThreadPoolExecutor() as pool:
            return tuple(pool.map(_fingerprint_of_file, self.paths))

    def reader(self, background: Sequence[int] = WHITE) -> Callable[[tf.Tensor], tf.Tensor]:
        """Return a graph function from an index to pixels; see `Examples.reader`."""
        paths = tf.constant(list(self.paths), tf.string)
        if all(decoder == PLAIN for decoder in self.decoders):
            return lambda index: decode_plain(tf.io.read_file(paths[index]))
        decoders = tf.constant(self.decoders, tf.int32)
        return lambda index: decode_by(tf.io.read_file(paths[index]), decoders[index], background)

    def pixels(self, index: int, background: Sequence[int] = WHITE) -> np.ndarray:
        """Return an image's pixels, uint8, shape (height, width, 3)."""
        return read_image(self.paths[index], background)

    def problems(self) -> list[str]:
        """Decode every file and return a sentence about each that cannot be."""
        return [check.problem for check in check_images(self.paths) if check.problem]

    def encoded(self, index: int, background: Sequence[int] = WHITE) -> bytes:
        """Return bytes that the exported bytes signature decodes to the same pixels."""
        content = Path(self.paths[index]).read_bytes()
        if self.decoders[index] != PILLOW:
            return content
        return as_png(decode_with_pillow(content, background))


@dataclass(frozen=True)
class CheckedFile:
    """One file, looked at before it is used.

    Attributes:
        path: the file.
        problem: a sentence that names it and says what is wrong; "" where nothing is.
        decoder: PLAIN, GRAPH or PILLOW.
        fingerprint: the digest of its bytes; "" where it was not decoded.
        format: its format by content.
        odd_suffix: whether its suffix promises another format.
    """

    path: str
    problem: str = ""
    decoder: int = PLAIN
    fingerprint: str = ""
    format: str = ""
    odd_suffix: bool = False


def check_images(paths: Sequence[str], decode: bool = True) -> list[CheckedFile]:
    """Look at every file: its header, and with `decode` all of its pixels.

    Args:
        paths: the files.
        decode: decode each file once and take its fingerprint.

    Returns:
        One result a file, in order.
    """

    def check(path: str) -> CheckedFile:
        try:
            header = sniff_file(path)
            odd = not header.fits_suffix(Path(path).suffix)
            if not decode:
                return CheckedFile(path, "", header.decoder, "", header.format, odd)
            content = Path(path).read_bytes()
            decoder = decode_and_say_how(content, name=f"Image {path!r}")[1]
            return CheckedFile(path, "", decoder, fingerprint(content), header.format, odd)
        except (DataError, OSError) as error:
            return CheckedFile(path, problem=str(error))

    # As many threads as cores: each holds one decoded image, and decoders let go of the lock.
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        return list(pool.map(check, paths))


def fingerprint(content: bytes) -> str:
    """Return a digest of an image's bytes and of the way they are decoded."""
    person = f"tftune-pixels-{DECODING}".encode()
    return hashlib.blake2b(content, digest_size=16, person=person).hexdigest()


def _fingerprint_of_file(path: str) -> str:
    try:
        return fingerprint(Path(path).read_bytes())
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"Image {path!r} cannot be read: {reason}.") from error


def as_png(pixels: np.ndarray) -> bytes:
    """Encode uint8 RGB pixels without loss."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()
