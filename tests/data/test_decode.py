"""One definition of the pixels a file has, in the graph and out of it."""

import io
import os
import zlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from tftune.config.image_input import ImageInput
from tftune.data.decode import decode_bytes, decode_image, read_image
from tftune.data.exif import exif_orientation
from tftune.data.headers import GRAPH, MAX_PIXELS, PILLOW, PLAIN, sniff, sniff_file
from tftune.data.image_files import ImageFiles
from tftune.data.pipeline import image_batches
from tftune.errors import DataError

# The two JPEG decoders differ by rounding: TensorFlow's is the faster, less exact one.
JPEG_ROUNDING = 6


def photo(mode="RGB", size=(45, 30)):
    small = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).convert(mode)


def encode(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def with_orientation(orientation, kind="JPEG", **options):
    exif = Image.Exif()
    exif[0x010F] = "A camera"
    exif[0x0112] = orientation
    return encode(photo(), kind, exif=exif, **options)


def translucent():
    image = photo("RGBA")
    image.putalpha(Image.fromarray(np.linspace(0, 255, 45 * 30).reshape(30, 45).astype(np.uint8)))
    return image


def deep_gray():
    return Image.fromarray(np.arange(30 * 45, dtype=np.uint16).reshape(30, 45) * 48)


def jpeg_case(encoded):
    return encoded, Image.open(io.BytesIO(encoded)), PLAIN, JPEG_ROUNDING


in_graph = tf.function(decode_image, input_signature=[tf.TensorSpec((), tf.string)])

# Name: bytes, the pixels they stand for, the decoder, and the largest difference allowed.
CASES = {
    "jpeg": jpeg_case(encode(photo(), "JPEG")),
    "jpeg progressive": jpeg_case(encode(photo(), "JPEG", progressive=True)),
    "jpeg gray": jpeg_case(encode(photo("L"), "JPEG")),
    "jpeg cmyk": jpeg_case(encode(photo("CMYK"), "JPEG")),
    "jpeg burst (mpo)": jpeg_case(encode(photo(), "MPO", save_all=True, append_images=[photo()])),
    "png": (encode(photo(), "PNG"), photo(), PLAIN, 0),
    "png gray": (encode(photo("L"), "PNG"), photo("L"), PLAIN, 0),
    "png one bit": (encode(photo("1"), "PNG"), photo("1"), PLAIN, 0),
    "png palette": (encode(photo("P"), "PNG"), photo("P"), GRAPH, 0),
    "png alpha": (encode(translucent(), "PNG"), translucent(), GRAPH, 0),
    "png gray alpha": (encode(translucent().convert("LA"), "PNG"), None, GRAPH, 0),
    "png colour key": (
        encode(photo(), "PNG", transparency=photo().getpixel((3, 3))),
        None,
        GRAPH,
        0,
    ),
    "png 16 bit": (encode(deep_gray(), "PNG"), None, PLAIN, 0),
    "gif": (encode(photo(), "GIF"), photo().quantize().convert("RGB"), PILLOW, 60),
    "bmp": (encode(photo(), "BMP"), photo(), PLAIN, 0),
}
BY_PILLOW_ONLY = {
    "png turned": (with_orientation(6, "PNG"), photo().transpose(Image.Transpose.ROTATE_270)),
    "bmp palette": (encode(photo("P"), "BMP"), photo("P")),
    "bmp one bit": (encode(photo("1"), "BMP"), photo("1")),
    "webp": (encode(photo(), "WEBP", lossless=True), photo()),
    "webp alpha": (encode(translucent(), "WEBP", lossless=True, exact=True), translucent()),
    "webp turned": (
        with_orientation(6, "WEBP", lossless=True),
        photo().transpose(Image.Transpose.ROTATE_270),
    ),
    "tiff": (encode(photo(), "TIFF"), photo()),
    "tiff lzw": (encode(photo(), "TIFF", compression="tiff_lzw"), photo()),
    "tiff palette": (encode(photo("P"), "TIFF"), photo("P")),
    "tiff alpha": (encode(translucent(), "TIFF"), translucent()),
    "tiff cmyk": (encode(photo("CMYK"), "TIFF"), photo("CMYK")),
    "tiff pages": (encode(photo(), "TIFF", save_all=True, append_images=[photo("L")]), photo()),
}


def on_white(image):
    """The definition, by Pillow's own compositing."""
    base = Image.new("RGBA", image.size, "white")
    base.alpha_composite(image.convert("RGBA"))
    return np.asarray(base.convert("RGB")).astype(int)


@pytest.mark.parametrize("name", CASES)
def test_the_serving_graph_gives_exactly_the_pixels_of_training(name):
    encoded, meant, decoder, tolerance = CASES[name]
    assert sniff(encoded).decoder == decoder
    pixels = decode_bytes(encoded)
    np.testing.assert_array_equal(in_graph(encoded), pixels)
    if meant is not None:
        # One more for alpha: Pillow rounds its compositing in another way.
        slack = tolerance + (decoder == GRAPH)
        np.testing.assert_allclose(pixels, on_white(meant), atol=slack)


@pytest.mark.parametrize("name", BY_PILLOW_ONLY)
def test_formats_that_tensorflow_lacks_are_decoded_too(name):
    encoded, meant = BY_PILLOW_ONLY[name]
    assert sniff(encoded).decoder == PILLOW
    np.testing.assert_allclose(decode_bytes(encoded), on_white(meant), atol=1)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_become_their_high_byte(kind):
    pixels = decode_bytes(encode(deep_gray(), kind))
    np.testing.assert_array_equal(pixels[..., 1], np.asarray(deep_gray()) >> 8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_camera_orientation_is_undone_in_the_graph(orientation):
    encoded = with_orientation(orientation)
    # An upright image has nothing to undo and takes the fast path.
    assert sniff(encoded).decoder == (PLAIN if orientation == 1 else GRAPH)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded)))
    pixels = decode_bytes(encoded)
    np.testing.assert_array_equal(in_graph(encoded), pixels)
    np.testing.assert_allclose(pixels, np.asarray(upright).astype(int), atol=JPEG_ROUNDING)


def test_transparency_shows_the_chosen_colour():
    clear = encode(Image.new("RGBA", (2, 2), (9, 9, 9, 0)), "PNG")
    assert decode_bytes(clear)[0, 0].tolist() == [255, 255, 255]
    assert decode_bytes(clear, (1, 2, 3))[0, 0].tolist() == [1, 2, 3]
    assert decode_image(tf.constant(clear), (1, 2, 3))[0, 0].numpy().tolist() == [1, 2, 3]


def test_one_pipeline_reads_all_formats_and_the_bytes_signature_gets_equal_pixels(tmp_path):
    paths = []
    for number, encoded in enumerate([c[0] for c in (*CASES.values(), *BY_PILLOW_ONLY.values())]):
        paths.append(str(tmp_path / f"{number}.dat"))
        (tmp_path / f"{number}.dat").write_bytes(encoded)
    examples = ImageFiles(tuple(paths))
    contract = ImageInput((30, 45), background=(10, 20, 30))
    rows = np.concatenate(list(image_batches(examples, contract, 8)))
    for index, path in enumerate(paths):
        pixels = read_image(path, contract.background)
        expected = tf.image.resize(pixels, (30, 45), antialias=True)
        np.testing.assert_array_equal(rows[index], expected)
        served = decode_image(
            tf.constant(examples.encoded(index, contract.background)), (10, 20, 30)
        )
        np.testing.assert_array_equal(served, pixels)


@settings(max_examples=60)
@given(
    start=st.integers(0, 60),
    junk=st.binary(max_size=40),
    cut=st.integers(0, 400),
)
def test_a_damaged_exif_block_is_some_orientation_and_never_an_error(start, junk, cut):
    encoded = bytearray(with_orientation(6))
    encoded[2 + start : 2 + start + len(junk)] = junk
    assert 1 <= int(_orientation(bytes(encoded[:cut]))) <= 8


_orientation = tf.function(exif_orientation, input_signature=[tf.TensorSpec((), tf.string)])


class TestBadFiles:
    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            (b"", r"is empty \(0 bytes\)"),
            (b"\0" * 100, "only zero bytes"),
            (b"just text", "not a JPEG, PNG"),
            (b"<!DOCTYPE html><html></html>", "web page"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
            (encode(photo(), "PNG")[:60], "damaged"),
            (encode(photo(), "JPEG")[:400], "damaged"),
            (encode(photo(), "GIF")[:400], "damaged"),
            (encode(photo(), "TIFF")[:400], "damaged"),
            (encode(photo(), "WEBP")[:60], "damaged"),
            (encode(photo("F"), "TIFF"), "32-bit values"),
        ],
    )
    def test_a_bad_file_is_named_with_what_is_wrong(self, tmp_path, content, sentence):
        path = tmp_path / "bad one.jpg"
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"bad one.jpg' cannot be decoded: .*{sentence}"):
            read_image(path)

    @pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
    def test_a_decompression_bomb_is_refused_by_its_header(self, tmp_path):
        header = encode(Image.new("1", (8, 8)), "PNG")
        side = int(MAX_PIXELS**0.5) + 1
        for width in (side, 2**31 - 1):
            size = width.to_bytes(4, "big") + side.to_bytes(4, "big")
            body = b"IHDR" + size + header[24:29]
            crc = zlib.crc32(body).to_bytes(4, "big")
            path = tmp_path / "bomb.png"
            path.write_bytes(header[:12] + body + crc + header[33:])
            with pytest.raises(DataError, match=r"bomb.png' .* more than 120 megapixels"):
                sniff_file(path)

    def test_a_pipe_does_not_hang_the_loader(self, tmp_path):
        os.mkfifo(tmp_path / "pipe.jpg")
        with pytest.raises(DataError, match="not a regular file"):
            read_image(tmp_path / "pipe.jpg")

    @pytest.mark.filterwarnings("ignore::UserWarning:PIL")
    @settings(max_examples=80)
    @given(
        name=st.sampled_from(sorted({**CASES, **BY_PILLOW_ONLY})),
        cut=st.integers(0, 4000),
        place=st.integers(0, 3000),
        junk=st.binary(max_size=12),
    )
    def test_damage_anywhere_ends_in_pixels_or_a_sentence(self, name, cut, place, junk):
        encoded = bytearray({**CASES, **BY_PILLOW_ONLY}[name][0])
        encoded[place : place + len(junk)] = junk
        try:
            pixels = decode_bytes(bytes(encoded[:cut]), name="Image 'x'")
        except DataError as error:
            assert str(error).startswith("Image 'x' cannot be decoded: ")
        else:
            assert pixels.dtype == np.uint8
            assert pixels.shape[2:] == (3,)
