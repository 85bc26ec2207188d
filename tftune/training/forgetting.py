"""Measuring how far fine-tuning moved a backbone's features."""

from __future__ import annotations

import keras
import numpy as np

from tftune.builders.imagenet_head import imagenet_classifier
from tftune.results.forgetting import Forgetting
from tftune.training.boundary import CutModel


def linear_cka(first: np.ndarray, second: np.ndarray) -> float:
    """Return the linear centred kernel alignment of two sets of features.

    Args:
        first: shape (num_examples, num_features).
        second: shape (num_examples, any number of features), of the same examples.

    Returns:
        Similarity in [0, 1]; unchanged by rotation and by scaling of either. 1 for features that
        do not vary at all.

    References:
        Kornblith et al. 2019, https://arxiv.org/abs/1905.00414.
    """
    grams = []
    for features in (first, second):
        centred = np.asarray(features, np.float64) - features.mean(axis=0, dtype=np.float64)
        grams.append(centred @ centred.T)
    size = np.linalg.norm(grams[0]) * np.linalg.norm(grams[1])
    return float((grams[0] * grams[1]).sum() / size) if size else 1.0


def measure_forgetting(cut: CutModel, before: np.ndarray, split: str) -> Forgetting:
    """Compare a model's pooled features with those it had before fine-tuning.

    Args:
        cut: the model, cut at the boundary of its last phase.
        before: the pretrained features, shape (num_examples, num_features).
        split: name of the split they are of, whose activations the cut holds.

    Returns:
        How alike the features are, and whether the ImageNet classifier that the backbone came with
        would still say the same of them.
    """
    network = cut.model.keras_model
    boundary = network.get_layer(cut.boundary).output
    pooled = network.get_layer(cut.model.spec.pooled_layer).output
    to_features = keras.Model(boundary, pooled)
    rows = cut.activations[split]
    after = [
        np.asarray(to_features(np.asarray(rows[np.arange(i, min(i + 64, len(rows)))], np.float32)))
        for i in range(0, len(rows), 64)
    ]
    moved = np.concatenate(after)
    classifier = imagenet_classifier(cut.model)
    agreement = None
    if classifier is not None:
        kernel, bias = classifier
        answers = [(features @ kernel + bias).argmax(axis=1) for features in (before, moved)]
        agreement = float((answers[0] == answers[1]).mean())
    return Forgetting(linear_cka(before, moved), len(rows), agreement)
