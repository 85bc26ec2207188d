"""A model can tell photographs from what it was trained on, and says so."""

from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image
from sklearn.metrics import roc_auc_score

import tftune
from tftune.errors import ConfigError
from tftune.evaluation.unknown import energy, separation
from tftune.results.unknown import KnownFeatures

_PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "retina.jpg")


@pytest.fixture(scope="module")
def photographs():
    folder = Path(skimage.__file__).parent / "data"
    pictures = []
    for name in _PHOTOGRAPHS:
        image = Image.open(folder / name).convert("RGB")
        width, height = image.size
        for left in (0, width // 3):
            box = (left, 0, left + width // 2, height // 2)
            pictures.append(np.array(image.crop(box).resize((64, 64))))
    labels = np.arange(len(pictures)) % 2
    arrays = tftune.load_image_arrays(np.stack(pictures), labels, validation_share=0, test_share=0)
    return arrays.train


@pytest.fixture
def knowing(pretrained_model):
    yield pretrained_model
    pretrained_model.known = None


def test_photographs_are_unknown_to_a_model_of_stripes(
    knowing, stripes, stripes_folder, photographs, tmp_path
):
    fit = tftune.fit_unknown(knowing, stripes, photographs, false_alarms=0.34)
    assert fit.auroc.value > 0.95
    assert fit.detected > 0.9
    assert fit.false_alarms <= 0.34
    assert "AUROC" in str(fit)
    known = knowing.predict(stripes.train.examples.paths[0], unknown=True)
    assert set(known) == set(stripes.class_names)
    pictures = [photographs.examples.pixels(index) for index in range(len(photographs))]
    answers = knowing.predict(pictures, unknown=True)
    assert np.mean([answer == {"unknown": 1.0} for answer in answers]) == fit.detected
    knowing.save(tmp_path / "m.keras")
    again = tftune.load(tmp_path / "m.keras")
    assert again.known.threshold == fit.threshold
    assert (again.known.rows == knowing.known.rows).all()
    assert again.predict(pictures, unknown=True)[0] == answers[0]


def test_what_needs_known_images_says_so(knowing, stripes):
    with pytest.raises(ConfigError, match="fit_unknown"):
        knowing.predict(stripes.train.examples.paths[0], unknown=True)
    with pytest.raises(ConfigError, match=r"in \(0, 1\)"):
        tftune.fit_unknown(knowing, stripes, false_alarms=1)
    with pytest.raises(ConfigError, match="must not be empty"):
        tftune.fit_unknown(knowing, stripes, stripes.test.take([]))


def test_the_distance_is_that_to_the_nearest_direction():
    known = KnownFeatures.of(np.array([[2.0, 0.0], [0.0, 5.0]]), threshold=0.1)
    features = np.array([[1.0, 0.0], [1.0, 1.0], [-1.0, 0.0]])
    expected = [0, 1 - np.sqrt(0.5), 1]
    # Rows are kept as float16, whose resolution near 1 is 5e-4.
    np.testing.assert_allclose(known.distances(features), expected, atol=1e-3)
    assert known.unknown(features).tolist() == [False, True, True]


def test_the_separation_is_the_area_under_the_roc_curve():
    generator = np.random.default_rng(0)
    inside, outside = generator.normal(0, 1, 80), generator.normal(1, 1, 50)
    found = separation(inside, outside)
    truth = [0] * 80 + [1] * 50
    assert found.value == pytest.approx(roc_auc_score(truth, np.append(inside, outside)))
    assert found.low < found.value < found.high


def test_energy_is_low_where_one_logit_is_high():
    assert energy([[10.0, 0.0]])[0] < energy([[1.0, 1.0]])[0] < energy([[0.0, 0.0]])[0]
