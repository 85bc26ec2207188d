"""KerasHub's ImageClassifier, as https://keras.io/keras_hub/getting_started shows it."""

from pathlib import Path

import keras
import keras_hub


def train(folder, size, seed):
    keras.utils.set_random_seed(seed)
    options = {"image_size": (size, size), "batch_size": 32}
    train = keras.utils.image_dataset_from_directory(f"{folder}/train", seed=seed, **options)
    validation = keras.utils.image_dataset_from_directory(f"{folder}/val", **options)
    model = keras_hub.models.ImageClassifier.from_preset(
        "efficientnet_lite0_ra_imagenet", num_classes=len(train.class_names)
    )
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(train, validation_data=validation, epochs=10, verbose=0)
    return model, train.class_names


def predict(trained, paths, size):
    model, class_names = trained
    images = keras.utils.image_dataset_from_directory(
        Path(paths[0]).parent, labels=None, shuffle=False, image_size=(size, size)
    )
    return [class_names[i] for i in model.predict(images, verbose=0).argmax(axis=1)]
