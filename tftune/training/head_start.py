"""Starting linear heads from the model that fits the cached features best."""

from __future__ import annotations

import numpy as np

from tftune.builders.heads import dense_layer
from tftune.builders.trunk import Trunk
from tftune.config.model_spec import TAGS, HeadSpec
from tftune.config.phase import Phase
from tftune.data.dataset import Dataset, Split
from tftune.data.pipeline import input_batches
from tftune.data.targets import Target
from tftune.training.boundary import CutModel
from tftune.training.objective import class_weights
from tftune.training.probe import Linear, fit_probe
from tftune.training.ridge_probe import fit_ridge

_MOST_WORDS = 10_000


def start_heads(cut: CutModel, data: Dataset, phase: Phase) -> list[str]:
    """Give each linear head the weights of a probe: logistic for classes, ridge for quantities.

    Args:
        cut: the model in a phase that trains its heads alone, from the cache or without it.
        data: probes are fitted on `train`; `validation` chooses the logistic ones' regularisation.
        phase: its class weights are those of the logistic probes too.

    Returns:
        The names of heads that start as they were built: all where hidden layers are between the
        features and the heads, and those whose labels are not known in both splits.
    """
    model, heads = cut.model, cut.model.heads
    layers = {h.name: model.keras_model.get_layer(dense_layer(h)) for h in heads}
    linear = {weight.path for layer in layers.values() for weight in layer.weights}
    trunk, top = model.cut(model.spec.pooled_layer)
    if {weight.path for weight in top.weights} != linear:
        return [head.name for head in heads]
    splits = (data.train, data.validation)
    if cut.boundary is None:
        features = [_features(trunk, split) for split in splits]
    else:
        features = [np.asarray(cut.activations[split.name]) for split in splits]
    left = []
    for head, train, validation in zip(
        heads, data.train.targets, data.validation.targets, strict=True
    ):
        weights = None if head.task == "regression" else class_weights(phase, train, len(heads))
        found = fit_head(head, train, validation, weights, *features)
        if found is None:
            left.append(head.name)
        else:
            layers[head.name].set_weights(found)
    return left


def fit_head(
    head: HeadSpec,
    train: Target,
    validation: Target,
    weights: list[float] | None,
    features: np.ndarray,
    validation_features: np.ndarray,
) -> Linear | None:
    """Fit what a linear head starts from.

    Args:
        head: names the task.
        train: what is fitted.
        validation: chooses a classifier's regularisation.
        weights: what each class weighs; None weighs all alike.
        features: shape (num_examples, num_features).
        validation_features: the same of the validation examples.

    Returns:
        Kernel and bias; None where no labels are known.
    """
    if head.task == TAGS:
        return _fit_tags(head, train.labels, validation.labels, features, validation_features)
    if head.task == "regression":
        scaled = (train.labels - np.array(head.offset)) / np.array(head.scale)
        return fit_ridge(features, scaled)
    if not (train.known.any() and validation.known.any()):
        return None
    known = (features[train.known], train.labels[train.known])
    held_out = (validation_features[validation.known], validation.labels[validation.known])
    if head.ordered:
        return _fit_steps(*known, *held_out, len(head.class_names))
    probe = fit_probe(*known, *held_out, len(head.class_names), weights)
    return probe.kernel, probe.bias


def _features(trunk: Trunk, split: Split) -> np.ndarray:
    """Run the images once, into memory: a few kilobytes each."""
    batches = input_batches(split.examples, trunk.contract)
    return np.concatenate([np.asarray(trunk.forward(batch)) for batch in batches])


def _fit_tags(
    head: HeadSpec,
    labels: np.ndarray,
    held_out: np.ndarray,
    features: np.ndarray,
    held_out_features: np.ndarray,
) -> Linear | None:
    """Fit tags of words on their first pieces, at most `_MOST_WORDS`; see `word_layers`."""
    train = _words(labels, features)
    validation = _words(held_out, held_out_features)
    if not (len(train[1]) and len(validation[1])):
        return None
    probe = fit_probe(*train, *validation, len(head.class_names))
    return probe.kernel, probe.bias


def _words(labels: np.ndarray, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first = features[..., -1] > 1
    place = np.minimum(np.cumsum(first, axis=1), labels.shape[1]) - 1
    tags = np.where(first, np.take_along_axis(labels, np.maximum(place, 0), axis=1), -1)
    texts, tokens = np.nonzero(tags >= 0)
    chosen = np.random.default_rng(0).permutation(len(texts))[:_MOST_WORDS]
    texts, tokens = texts[chosen], tokens[chosen]
    return features[texts, tokens, :-1], tags[texts, tokens]


def _fit_steps(
    features: np.ndarray,
    labels: np.ndarray,
    validation_features: np.ndarray,
    validation_labels: np.ndarray,
    num_classes: int,
) -> Linear | None:
    """Fit for each class whether examples that reach it get further."""
    kernels, biases = [], []
    for step in range(num_classes - 1):
        reach, held_out = labels >= step, validation_labels >= step
        if not (reach.any() and held_out.any()):
            return None
        probe = fit_probe(
            features[reach],
            (labels[reach] > step).astype(int),
            validation_features[held_out],
            (validation_labels[held_out] > step).astype(int),
            2,
        )
        # The sigmoid of the difference is the softmax of the two.
        kernels.append(probe.kernel[:, 1] - probe.kernel[:, 0])
        biases.append(probe.bias[1] - probe.bias[0])
    return np.stack(kernels, axis=1), np.array(biases)
