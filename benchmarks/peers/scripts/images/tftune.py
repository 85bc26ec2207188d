"""tftune's default: both phases, from an empty cache."""

import tftune


def train(folder, size, seed):
    data = tftune.load_image_folder(folder, test_share=0)
    model = tftune.build_image_classifier("efficientnet_lite0", data, image_size=(size, size))
    tftune.fine_tune(
        model, data, tftune.plan(model, data, seed=seed, estimate=False), verbose=False
    )
    return model


def predict(model, paths, size):
    return [next(iter(answer)) for answer in model.predict(paths)]
