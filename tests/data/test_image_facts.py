"""One look at any file gives facts or a reason, never an exception."""

import io
from dataclasses import replace

import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tftune.data import duplicates
from tftune.data.duplicates import groups_of_copies
from tftune.data.image_facts import read_facts as facts_of_examples
from tftune.data.image_facts import signature_of
from tftune.data.image_files import ImageFiles


def read_facts(paths):
    return facts_of_examples(ImageFiles(tuple(map(str, paths))))


@pytest.fixture(scope="module")
def photographs():
    """128-pixel crops of real photographs that do not overlap."""
    crops = []
    for name in ("astronaut", "chelsea", "coffee", "rocket", "immunohistochemistry", "gravel"):
        pixels = getattr(skimage.data, name)()
        pixels = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
        for top in range(0, pixels.shape[0] - 127, 128):
            for left in range(0, pixels.shape[1] - 127, 128):
                crop = pixels[top : top + 128, left : left + 128]
                if crop.std() > 12:  # plain background is the subject of other tests
                    crops.append(Image.fromarray(crop))
    return crops


def _write(folder, images, suffix="png", **options):
    paths = []
    for index, image in enumerate(images):
        paths.append(folder / f"{index:03d}.{suffix}")
        image.save(paths[-1], **options)
    return paths


def _jpeg(image, quality=90):
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (lambda image: b"", "is empty"),
        (lambda image: b"no image at all", "is not a JPEG, PNG"),
        (lambda image: _jpeg(image)[: len(_jpeg(image)) // 2], "damaged or cut off"),
        (lambda image: image.tobytes(), "is not a JPEG, PNG"),
    ],
)
def test_a_damaged_file_gets_a_reason(photographs, tmp_path, content, problem):
    path = tmp_path / "x.jpg"
    path.write_bytes(content(photographs[0]))
    (fact,) = read_facts([path])
    assert problem in fact.problem
    assert str(path) in fact.problem


def test_a_missing_file_gets_a_reason(tmp_path):
    assert "cannot be read" in read_facts([tmp_path / "x.jpg"])[0].problem


@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM"]),
)
@settings(max_examples=60)
def test_any_bytes_give_facts_or_a_reason(tmp_path_factory, content, magic):
    path = tmp_path_factory.mktemp("fuzz") / "x.jpg"
    path.write_bytes(magic + content)
    (fact,) = read_facts([path])
    assert fact.problem or fact.signature is not None


def test_real_photographs_have_no_problem_and_no_copies(photographs, tmp_path):
    facts = read_facts(_write(tmp_path, photographs))
    assert not any(fact.problem for fact in facts)
    assert groups_of_copies(facts) == []


def test_copies_as_jpeg_and_in_other_sizes_are_found(photographs, tmp_path):
    generator = np.random.default_rng(0)
    facts = read_facts(_write(tmp_path, photographs))
    changed = []
    for image in photographs:
        side = round(128 * generator.uniform(0.5, 1.5))
        resized = image.resize((side, side), Image.Resampling.BICUBIC)
        quality = int(generator.integers(60, 96))
        changed.append(Image.open(io.BytesIO(_jpeg(resized, quality))))
    (tmp_path / "copies").mkdir()
    copies = read_facts(_write(tmp_path / "copies", changed, "jpg", quality="keep"))
    groups = groups_of_copies([*facts, *copies])
    count = len(photographs)
    right = [[index, index + count] for index in range(count)]
    assert all(group in right for group in groups)
    assert len(groups) >= 0.95 * count


def test_comparing_in_small_steps_finds_the_same_copies(photographs, tmp_path, monkeypatch):
    facts = read_facts(_write(tmp_path, [*photographs[:9], photographs[2], photographs[7]]))
    facts = [replace(fact, digest=str(index)) for index, fact in enumerate(facts)]
    assert groups_of_copies(facts) == [[2, 9], [7, 10]]
    monkeypatch.setattr(duplicates, "_CELLS_AT_ONCE", 22)  # two rows of eleven at a time
    assert groups_of_copies(facts) == [[2, 9], [7, 10]]


def test_a_copy_turned_upright_by_exif_is_found(photographs, tmp_path):
    image = photographs[3]
    image.save(tmp_path / "a.jpg", quality=95)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "b.jpg", quality=95, exif=exif)
    facts = read_facts([tmp_path / "a.jpg", tmp_path / "b.jpg"])
    assert [fact.orientation for fact in facts] == [1, 6]
    assert groups_of_copies(facts) == [[0, 1]]


def test_equal_bytes_are_copies_even_of_plain_images_and_plain_images_alone_are_not(tmp_path):
    shades = [Image.new("RGB", (40, 40), (value,) * 3) for value in (90, 90, 120)]
    assert groups_of_copies(read_facts(_write(tmp_path, shades))) == [[0, 1]]


def test_the_same_shape_in_another_colour_is_no_copy(tmp_path):
    images = []
    for color in ((200, 0, 0), (0, 102, 0)):  # of the same luminance, 59.8
        pixels = np.full((64, 64, 3), 255, np.uint8)
        pixels[10:50, 5:40] = color
        images.append(Image.fromarray(pixels))
    assert groups_of_copies(read_facts(_write(tmp_path, images))) == []


def test_sixteen_bits_and_transparency_look_as_they_are_shown(tmp_path):
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64)
    Image.fromarray(ramp.astype(np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray((ramp / 257).astype(np.uint8)).save(tmp_path / "plain.png")
    Image.new("RGBA", (40, 40), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    deep, plain, clear = read_facts([tmp_path / f"{n}.png" for n in ("deep", "plain", "clear")])
    np.testing.assert_allclose(deep.mean_color, plain.mean_color, atol=1.5)
    np.testing.assert_allclose(clear.mean_color, 255)


def test_the_signature_is_the_weighted_cosine_transform():
    from scipy.fft import dctn

    luminance = np.random.default_rng(0).uniform(0, 255, (32, 32))
    expected = dctn(luminance, norm="ortho")[:8, :8] * np.hypot(*np.mgrid[:8, :8])
    np.testing.assert_allclose(signature_of(luminance), expected.ravel()[1:], rtol=1e-4, atol=1e-2)
