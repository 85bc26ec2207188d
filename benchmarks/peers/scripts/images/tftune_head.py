"""tftune's first phase by itself: a head on frozen features, from an empty cache."""

import tftune


def train(folder, size, seed):
    data = tftune.load_image_folder(folder, test_share=0)
    model = tftune.build_image_classifier("efficientnet_lite0", data, image_size=(size, size))
    plan = tftune.plan(model, data, fine_tune_epochs=0, seed=seed, estimate=False)
    tftune.fine_tune(model, data, plan, verbose=False)
    return model


def predict(model, paths, size):
    return [next(iter(answer)) for answer in model.predict(paths)]
