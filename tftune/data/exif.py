"""The orientation a camera noted in a JPEG file, read and undone inside a TensorFlow graph."""

from __future__ import annotations

import tensorflow as tf

# Cameras put EXIF first; behind this many bytes nothing writes it.
EXIF_SEARCH_BYTES = 1 << 18
_APP1, _START_OF_SCAN = 0xE1, 0xDA
_ORIENTATION_TAG, _SHORT = 0x0112, 3
_MOST_ENTRIES = 512


def exif_orientation(encoded: tf.Tensor) -> tf.Tensor:
    """Find the EXIF orientation of a JPEG file.

    Args:
        encoded: string scalar, the file's bytes.

    Returns:
        int32 scalar, 1 (upright) to 8; 1 where the file has none or it is damaged.

    References:
        JEITA CP-3451, Exif 2.3, section 4.6.4, tag 274.
    """
    head = tf.strings.substr(encoded, 0, EXIF_SEARCH_BYTES)
    data = tf.cast(tf.io.decode_raw(head, tf.uint8), tf.int32)
    length = tf.size(data)
    data = tf.concat([data, tf.zeros(1, tf.int32)], 0)

    def byte(place: tf.Tensor) -> tf.Tensor:
        # Places outside the file, wherever a damaged offset points, hold zero.
        inside = (place >= 0) & (place < length)
        return tf.gather(data, tf.where(inside, place, length))

    def next_segment(place: tf.Tensor) -> tf.Tensor:
        return place + 2 + byte(place + 2) * 256 + byte(place + 3)

    def searching(place: tf.Tensor) -> tf.Tensor:
        marker = byte(place + 1)
        is_segment = (byte(place) == 0xFF) & (marker != _START_OF_SCAN) & (place < length)
        is_exif = marker == _APP1
        for offset, letter in enumerate(b"Exif\0\0"):
            is_exif &= byte(place + 4 + offset) == letter
        return is_segment & ~is_exif

    # A segment is at least four bytes long, so the search moves on and ends.
    place = tf.while_loop(
        searching, lambda place: (tf.maximum(next_segment(place), place + 4),), (tf.constant(2),)
    )
    place = place[0] if isinstance(place, (tuple, list)) else place
    found = (byte(place) == 0xFF) & (byte(place + 1) == _APP1)
    tiff = place + 10
    little = byte(tiff) == ord("I")

    def short(place: tf.Tensor) -> tf.Tensor:
        first, second = byte(place), byte(place + 1)
        return tf.where(little, first + 256 * second, 256 * first + second)

    # Offsets above 2**24 are beyond the search anyway, so the highest byte is left out.
    offset = tf.where(little, short(tiff + 4), short(tiff + 6))
    offset += 65536 * tf.where(little, byte(tiff + 6), byte(tiff + 5))
    directory = tiff + offset
    count = tf.minimum(short(directory), _MOST_ENTRIES)
    entries = directory + 2 + 12 * tf.range(count)
    chosen = (short(entries) == _ORIENTATION_TAG) & (short(entries + 2) == _SHORT)
    values = tf.boolean_mask(short(entries + 8), chosen)
    value = tf.concat([values, [1]], 0)[0]
    return tf.where(found & (value >= 1) & (value <= 8), value, 1)


def upright(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turn and mirror pixels so that an image taken with this orientation stands upright.

    Args:
        pixels: shape (height, width, channels).
        orientation: int32 scalar in [1, 8].

    Returns:
        The same pixels; height and width are exchanged for orientations 5 to 8.
    """

    def turned() -> tf.Tensor:
        swapped = tf.cond(orientation >= 5, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
        # Once 5 to 8 are transposed, what is left is mirroring rows, columns or both.
        flip_rows = tf.reduce_any(orientation == [3, 4, 7, 8])
        flip_columns = tf.reduce_any(orientation == [2, 3, 6, 7])
        swapped = tf.cond(flip_rows, lambda: tf.reverse(swapped, [0]), lambda: swapped)
        return tf.cond(flip_columns, lambda: tf.reverse(swapped, [1]), lambda: swapped)

    return tf.cond(orientation > 1, turned, lambda: pixels)
