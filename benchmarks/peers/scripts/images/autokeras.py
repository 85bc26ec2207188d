"""AutoKeras, as https://autokeras.com/tutorial/image_classification shows it."""

import tempfile
from pathlib import Path

import autokeras
import keras
import numpy as np


def train(folder, size, seed, times=1):
    keras.utils.set_random_seed(seed)
    x, y = read(f"{folder}/train", size)
    validation = read(f"{folder}/val", size)
    # A second trial would be ResNet50 with weights to download.
    classifier = autokeras.ImageClassifier(
        max_trials=1, overwrite=True, seed=seed, directory=tempfile.mkdtemp()
    )
    classifier.fit(x, y, validation_data=validation, epochs=round(times * 10), verbose=0)
    return classifier


def read(folder, size):
    paths = sorted(Path(folder).glob("*/*"))
    return pixels(paths, size), np.array([path.parent.name for path in paths])


def pixels(paths, size):
    return np.stack(
        [keras.utils.img_to_array(keras.utils.load_img(p, target_size=(size, size))) for p in paths]
    )


def predict(classifier, paths, size):
    return list(classifier.predict(pixels(paths, size), verbose=0).ravel())
