"""Training, predict and both exports see the same pixels, whatever the file and the contract."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

import tftune
from tftune.config.image_input import RESIZE_METHODS, ImageInput
from tftune.evaluation.evaluate import predict_split


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Two classes of oblong files: EXIF-turned JPEG, transparent PNG, GIF, BMP, TIFF, WebP."""
    folder = tmp_path_factory.mktemp("mixed")
    generator = np.random.default_rng(0)
    turned = Image.Exif()
    turned[0x0112] = 8
    for name in ("a", "b"):
        (folder / name).mkdir()
        for kind in ("jpg", "png", "gif", "bmp", "tiff", "webp"):
            pixels = generator.integers(0, 256, (5, 9, 4), dtype=np.uint8)
            image = Image.fromarray(pixels).resize((90, 50))
            keeps_alpha = kind in ("png", "tiff", "webp", "gif")
            image = image if keeps_alpha else image.convert("RGB")
            image.save(
                folder / name / f"image.{kind}", **({"exif": turned} if kind == "jpg" else {})
            )
    return tftune.load_image_folder(folder, validation_share=0, test_share=0)


@pytest.fixture(scope="module")
def network(mixed):
    """One network for all contracts; what is before it differs."""
    return tftune.build_image_classifier(
        "efficientnet_lite0", mixed, image_size=(32, 32), weights=None
    )


@pytest.mark.parametrize("resize", RESIZE_METHODS)
def test_predict_and_evaluate_agree_on_every_format(mixed, network, resize):
    contract = ImageInput((32, 32), resize, background=(200, 30, 60))
    spec = dataclasses.replace(network.spec, contract=contract)
    model = tftune.TransferModel(network.keras_model, spec)
    at_once = predict_split(model, mixed.train)
    answers = model.predict(list(mixed.train.examples.paths))
    one_by_one = [[answer[name] for name in model.class_names] for answer in answers]
    np.testing.assert_allclose(at_once, one_by_one, atol=1e-5)


@pytest.mark.slow
def test_an_export_is_verified_on_every_format_by_the_models_own_contract(mixed, tmp_path):
    model = tftune.build_image_classifier(
        "efficientnet_lite0",
        mixed,
        image_size=(32, 32),
        weights=None,
        resize="pad",
        background=(200, 30, 60),
    )
    served = tftune.export_saved_model(model, tmp_path / "served", verify=mixed.train)
    assert served.certificate.max_difference <= 1e-5
    model.save(tmp_path / "model.keras")
    assert tftune.load(tmp_path / "model.keras").image_input == model.image_input
