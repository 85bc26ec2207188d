"""What one cheap look at an image file says: whether it decodes, its size, and how it looks."""

from __future__ import annotations

import functools
import io
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from tftune.data.decode import decode_and_say_how
from tftune.data.examples import Examples
from tftune.data.headers import FORMATS, sniff_file
from tftune.data.image_files import ImageFiles, fingerprint
from tftune.errors import DataError

SIDE = 32  # pixels of the square thumbnail everything is measured on
_FREQUENCIES = 8  # of each axis, kept in the signature


@dataclass(frozen=True, eq=False)
class ImageFacts:
    """Facts about one image. If `problem` is set, those about its pixels are empty.

    Attributes:
        digest: the content's fingerprint, 32 hexadecimal digits; empty if it cannot be read.
        problem: a sentence that names the file and says why it cannot be decoded, or "".
        size: (height, width) in pixels, as stored.
        orientation: the EXIF orientation, 1 to 8; 1 is upright.
        mean_color: float32, shape (3,), RGB in [0, 255].
        brightest: the 99th percentile of the thumbnail's luminance, in [0, 255].
        spread: largest difference within a colour channel, in [0, 255].
        signature: float32, shape (63,); see `signature_of`.
    """

    digest: str
    problem: str = ""
    size: tuple[int, int] = (0, 0)
    orientation: int = 1
    mean_color: np.ndarray | None = None
    brightest: float = 0.0
    spread: float = 0.0
    signature: np.ndarray | None = None


def read_facts(
    examples: Examples, on_progress: Callable[[int, int], None] | None = None
) -> list[ImageFacts]:
    """Look at every image, in parallel; a damaged file does not make this raise.

    JPEG files are decoded at a reduced scale, which reads all their data and so finds truncation.

    Args:
        examples: the images.
        on_progress: told how many are done, of how many.

    Returns:
        Facts about each image, in order.
    """
    paths = examples.paths if isinstance(examples, ImageFiles) else ()

    def look(index: int) -> ImageFacts:
        return _facts_of_file(paths[index]) if paths else _facts_of_pixels(examples, index)

    facts = []
    # Pillow warns of odd metadata, which is nobody's concern here.
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        warnings.simplefilter("ignore")
        for fact in pool.map(look, range(len(examples))):
            facts.append(fact)
            if on_progress:
                on_progress(len(facts), len(examples))
    return facts


def signature_of(luminance: np.ndarray) -> np.ndarray:
    """Describe a picture so that copies of it are close and other pictures are not.

    The lowest frequencies of the cosine transform, as in the perceptual hash (pHash), but kept as
    numbers instead of one bit each: rounding to bits makes all T-shirts on black alike. Each is
    weighted by its frequency, which evens out the falling spectrum of natural images; the mean is
    left out.

    Args:
        luminance: shape (32, 32), in [0, 255].

    Returns:
        float32, shape (63,).

    References:
        Zauner 2010, "Implementation and benchmarking of perceptual image hash functions".
    """
    basis, weights = _cosine_basis()
    coefficients = basis @ luminance.astype(np.float64) @ basis.T * weights
    return coefficients.ravel()[1:].astype(np.float32)


@functools.cache
def _cosine_basis() -> tuple[np.ndarray, np.ndarray]:
    frequencies = np.arange(_FREQUENCIES)
    basis = np.cos(np.pi * frequencies[:, None] * (2 * np.arange(SIDE) + 1) / (2 * SIDE))
    basis *= np.sqrt(np.where(frequencies == 0, 1, 2) / SIDE)[:, None]
    return basis, np.hypot(frequencies[:, None], frequencies)


def _facts_of_file(path: str) -> ImageFacts:
    encoded = b""
    try:
        header = sniff_file(path)
        encoded = Path(path).read_bytes()
        try:
            upright, orientation = _decoded_small(encoded)
        # Pillow's decoders raise whatever a damaged file leads them to. The loader, which tries two
        # decoders and knows deep pixels, has the last word.
        except Exception:
            pixels, _ = decode_and_say_how(encoded, name=f"Image {path!r}")
            upright, orientation = Image.fromarray(pixels), 1
    except OSError as error:
        return ImageFacts("", f"Image {path!r} cannot be read: {error.strerror or error}.")
    except DataError as error:
        return ImageFacts(fingerprint(encoded), str(error))
    return _facts(fingerprint(encoded), header.size, orientation, upright)


def _facts_of_pixels(examples: Examples, index: int) -> ImageFacts:
    pixels = examples.pixels(index)
    return _facts(examples.fingerprints[index], pixels.shape[:2], 1, Image.fromarray(pixels))


def _decoded_small(encoded: bytes) -> tuple[Image.Image, int]:
    """Decode at a reduced scale where the format can, which still reads all of the data."""
    with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        image.draft("RGB", (4 * SIDE, 4 * SIDE))
        image.load()
        if image.mode[0] in "IF":
            raise ValueError("deep pixels")
        upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data:
            clear = upright.convert("RGBA")
            upright = Image.new("RGBA", clear.size, "white")
            upright.alpha_composite(clear)
        return upright.convert("RGB"), orientation


def _facts(digest: str, size: tuple[int, int], orientation: int, image: Image.Image) -> ImageFacts:
    small = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, reducing_gap=3.0)
    pixels = np.asarray(small, dtype=np.float32)
    luminance = pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    ordered = np.sort(luminance, axis=None)
    return ImageFacts(
        digest=digest,
        size=size,
        orientation=orientation if orientation in range(1, 9) else 1,
        mean_color=pixels.mean(axis=(0, 1)),
        brightest=float(ordered[-len(ordered) // 100]),
        spread=float(max(high - low for low, high in image.getextrema())),  # type: ignore[misc]
        signature=signature_of(luminance),
    )
