"""Questions that a linear head on cached features answers in seconds."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from scipy.special import softmax
from sklearn.model_selection import KFold, StratifiedKFold

from tftune.builders.image_classifier import build_image_classifier
from tftune.builders.transfer_model import TransferModel
from tftune.cache.store import ActivationStore
from tftune.cache.trunk_pass import boundary_activations
from tftune.data.dataset import Dataset, Split
from tftune.errors import ConfigError
from tftune.progress import Progress
from tftune.results.evaluation import Interval
from tftune.results.studies import BackboneRanking, BackboneScore, CrossValidation
from tftune.training.probe import fit_probe

_RESAMPLES = 1000


def rank_backbones(
    data: Dataset,
    backbones: Sequence[str],
    *,
    image_size: tuple[int, int] | None = None,
    weights: str | None = "imagenet",
    verbose: bool = True,
    store: ActivationStore | None = None,
) -> BackboneRanking:
    """Rank backbones by the validation accuracy of a linear head on their frozen features.

    Each image runs once through each backbone; the features stay in the cache, so the training of
    the chosen one starts from them.

    Args:
        data: heads are fitted on `train` and judged on `validation`.
        backbones: names of presets.
        image_size: (height, width) in pixels; each preset's own by default.
        weights: as for `build_image_classifier`.
        verbose: show progress on standard error.
        store: where features are cached.

    Returns:
        The backbones, the best first.

    Raises:
        ConfigError: if no backbone is named or the data has not one class an example.
        PresetError: if a backbone is unknown.
    """
    _check_one_class(data)
    if not backbones:
        raise ConfigError("`backbones` must name at least one preset. Received: none.")
    scores = []
    with Progress(verbose) as progress:
        for name in backbones:
            started = time.perf_counter()
            model = build_image_classifier(name, data, image_size=image_size, weights=weights)
            train, validation = (
                _features(model, split, progress, store) for split in (data.train, data.validation)
            )
            labels = data.validation.labels
            probe = fit_probe(train, data.train.labels, validation, labels, data.num_classes)
            right = probe.logits(validation).argmax(axis=1) == labels
            scores.append(
                BackboneScore(
                    name,
                    _interval(right),
                    model.backbone.count_params(),
                    time.perf_counter() - started,
                )
            )
    ranked = sorted(scores, key=lambda score: -score.accuracy.value)
    return BackboneRanking(tuple(ranked), len(data.validation))


def cross_validate(
    model: TransferModel,
    data: Dataset,
    *,
    folds: int = 5,
    seed: int = 0,
    verbose: bool = True,
    store: ActivationStore | None = None,
) -> CrossValidation:
    """Judge a linear head on the model's frozen features, each example by a fold without it.

    The features come from the cache, so k folds cost one pass over the images.

    Args:
        model: whose features are used; it is not changed.
        data: `train` and `validation` together are split into folds; `test` is not touched.
        folds: how many, each with about the same share of every class.
        seed: decides which example is in which fold.
        verbose: show progress on standard error.
        store: where features are cached.

    Returns:
        Accuracy by fold and over all examples, with out-of-fold probabilities.

    Raises:
        ConfigError: if there are fewer examples than folds, or not one class an example.
    """
    _check_one_class(data)
    splits = (data.train, data.validation)
    labels = np.concatenate([split.labels for split in splits])
    if not 2 <= folds <= len(labels):
        raise ConfigError(
            f"`folds` must be between 2 and the {len(labels)} examples. Received: {folds}."
        )
    with Progress(verbose) as progress:
        features = np.concatenate([_features(model, split, progress, store) for split in splits])
    smallest = np.unique(labels, return_counts=True)[1].min()
    # Stratified folds need an example of every class in each.
    kind = StratifiedKFold if smallest >= folds else KFold
    logits = np.zeros((len(labels), data.num_classes), np.float32)
    accuracies = []
    for inside, outside in kind(folds, shuffle=True, random_state=seed).split(features, labels):
        # A tenth of what is inside chooses the regularisation, so that `outside` only judges.
        chosen = np.random.default_rng(seed).permutation(inside)
        held, fitted = np.split(chosen, [max(1, len(chosen) // 10)])
        probe = fit_probe(
            features[fitted], labels[fitted], features[held], labels[held], data.num_classes
        )
        logits[outside] = probe.logits(features[outside])
        accuracies.append(float((logits[outside].argmax(axis=1) == labels[outside]).mean()))
    right = logits.argmax(axis=1) == labels
    probabilities = softmax(logits, axis=1)
    return CrossValidation(tuple(accuracies), _interval(right), probabilities)


def _features(
    model: TransferModel, split: Split, progress: Progress, store: ActivationStore | None
) -> np.ndarray:
    trunk, _ = model.cut(model.spec.pooled_layer)
    step = progress.step(f"{model.preset} on {split.name}")
    return np.asarray(boundary_activations(trunk, split.examples, store=store, on_progress=step))


def _interval(right: np.ndarray, seed: int = 0) -> Interval:
    chosen = np.random.default_rng(seed).integers(0, len(right), (_RESAMPLES, len(right)))
    low, high = np.quantile(right[chosen].mean(axis=1), (0.025, 0.975))
    return Interval(float(right.mean()), float(low), float(high))


def _check_one_class(data: Dataset) -> None:
    if data.train.task != "multiclass" or not len(data.train) or not len(data.validation):
        raise ConfigError(
            "`data` must have one class an example, and training and validation examples. "
            f"Received: {data.train.task}, {len(data.train)} and {len(data.validation)} examples."
        )
