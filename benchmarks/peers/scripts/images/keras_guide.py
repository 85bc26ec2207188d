"""The recipe of https://keras.io/guides/transfer_learning, on EfficientNet-Lite0."""

from pathlib import Path

import keras

from tftune.builders.efficientnet_lite import efficientnet_lite0


def train(folder, size, seed, times=1):
    keras.utils.set_random_seed(seed)
    options = {"image_size": (size, size), "batch_size": 64}
    train = keras.utils.image_dataset_from_directory(f"{folder}/train", seed=seed, **options)
    validation = keras.utils.image_dataset_from_directory(f"{folder}/val", **options)
    class_names = train.class_names
    augmentation = [keras.layers.RandomFlip("horizontal"), keras.layers.RandomRotation(0.1)]

    def augmented(images, labels):
        for layer in augmentation:
            images = layer(images)
        return images, labels

    train = train.cache().map(augmented).prefetch(2)
    validation = validation.cache().prefetch(2)
    base = efficientnet_lite0(input_shape=(size, size, 3))
    base.trainable = False
    inputs = keras.Input((size, size, 3))
    x = keras.layers.Rescaling(1 / 128, offset=-127 / 128)(inputs)
    x = base(x, training=False)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(0.2)(x)
    model = keras.Model(inputs, keras.layers.Dense(len(class_names))(x))
    for trainable, rate, epochs in ((False, 1e-3, 20), (True, 1e-5, 10)):
        base.trainable = trainable
        model.compile(
            optimizer=keras.optimizers.Adam(rate),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        model.fit(train, epochs=round(times * epochs), validation_data=validation, verbose=0)
    return model, class_names


def predict(trained, paths, size):
    model, class_names = trained
    images = keras.utils.image_dataset_from_directory(
        Path(paths[0]).parent, labels=None, shuffle=False, image_size=(size, size)
    )
    return [class_names[i] for i in model.predict(images, verbose=0).argmax(axis=1)]
