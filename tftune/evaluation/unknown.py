"""Teaching a model to say "unknown" to images unlike all it was trained on."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from tftune.builders.heads import by_head
from tftune.builders.transfer_model import TransferModel
from tftune.cache.store import ActivationStore
from tftune.cache.trunk_pass import boundary_activations
from tftune.config.model_spec import TAGS
from tftune.data.dataset import Dataset, Split
from tftune.data.pipeline import image_batches
from tftune.errors import ConfigError
from tftune.evaluation.bootstrap import RankCurve, interval, resample_weights
from tftune.evaluation.evaluate import Progress
from tftune.results.evaluation import Interval
from tftune.results.unknown import KnownFeatures, UnknownFit

_MOST_ROWS = 2000


def fit_unknown(
    model: TransferModel,
    data: Dataset,
    others: Split | None = None,
    *,
    false_alarms: float = 0.05,
    seed: int = 0,
    store: ActivationStore | None = None,
    on_progress: Progress | None = None,
) -> UnknownFit:
    """Let a model tell images that are unlike all training images.

    The distance of an image's pooled features to the nearest training image's decides. Afterwards
    `model.predict(image, unknown=True)` answers "unknown" past the threshold. It is saved with the
    model, 2 bytes a feature and image; exports do not carry it. Training the model again drops it.

    Args:
        model: changed in place.
        data: `train` is what it knows, at most 2,000 of its images, drawn evenly; `validation`
            sets the threshold.
        others: images of none of the classes; their labels do not matter. They only measure how
            well it works.
        false_alarms: share of the validation images that may be called unknown, in (0, 1).
        seed: draws the images that are kept.
        store: the cache; the default one if None.
        on_progress: told how many examples are done, of how many.

    Returns:
        The threshold and, with `others`, the AUROC beside that of the energy score.

    Raises:
        ConfigError: if `false_alarms` is not in (0, 1), or a split is empty.

    References:
        Sun et al. 2022, https://arxiv.org/abs/2204.06507 (nearest neighbours); Liu et al. 2020,
        https://arxiv.org/abs/2010.03759 (energy). Measured by `python -m benchmarks.unknown`.
    """
    if model.task == TAGS:
        raise ConfigError("A model of tags answers for words, and knows no features of a text.")
    if not 0 < false_alarms < 1:
        raise ConfigError(f"`false_alarms` must be in (0, 1). Received: {false_alarms!r}.")
    for split in (data.train, data.validation, *([] if others is None else [others])):
        if not len(split):
            raise ConfigError(f"The {split.name} split must not be empty.")
    trunk, _ = model.cut(model.spec.pooled_layer)

    def features(split: Split) -> np.ndarray:
        return np.asarray(
            boundary_activations(trunk, split.examples, store=store, on_progress=on_progress)
        )

    train = data.train
    if len(train) > _MOST_ROWS:
        drawn = np.random.default_rng(seed).choice(len(train), _MOST_ROWS, replace=False)
        train = train.take(np.sort(drawn))
    known = KnownFeatures.of(features(train))
    inside = known.distances(features(data.validation))
    # An observed distance, so that no more than the asked share lies above it.
    threshold = float(np.quantile(inside, 1 - false_alarms, method="higher"))
    model.known = KnownFeatures(known.rows, threshold)
    alarms = float((inside > threshold).mean())
    if others is None:
        return UnknownFit(threshold, len(train), alarms)
    outside = known.distances(features(others))
    return UnknownFit(
        threshold=threshold,
        num_known=len(train),
        false_alarms=alarms,
        auroc=separation(inside, outside),
        energy_auroc=separation(_energies(model, data.validation), _energies(model, others)),
        detected=float((outside > threshold).mean()),
        num_others=len(others),
    )


def energy(logits: np.ndarray) -> np.ndarray:
    """Return the energy of logits, shape (num_examples,): higher where the model knows less.

    Args:
        logits: float, shape (num_examples, num_classes).

    References:
        Liu et al. 2020, https://arxiv.org/abs/2010.03759, equation 4, at the temperature 1.
    """
    return -logsumexp(np.asarray(logits, np.float64), axis=1)


def separation(inside: np.ndarray, outside: np.ndarray, seed: int = 0) -> Interval:
    """Measure how well a score tells other images from known ones.

    Args:
        inside: scores of known images, shape (num_inside,).
        outside: scores of other images, shape (num_outside,), higher if all is well.
        seed: seeds the bootstrap.

    Returns:
        The AUROC with a 95% bootstrap interval.
    """
    scores = np.concatenate([inside, outside])
    other = np.arange(len(scores)) >= len(inside)
    curve = RankCurve(scores, other)
    samples = [curve.areas(w)[0] for w in resample_weights(len(scores), seed=seed)]
    drawn = np.concatenate(samples)
    return interval(float(roc_auc_score(other, scores)), drawn[np.isfinite(drawn)])


def _energies(model: TransferModel, split: Split) -> np.ndarray:
    found = []
    for pixels in image_batches(split.examples, model.image_input):
        logits = model.forward_logits(pixels)
        first = by_head(model.heads, logits)[model.heads[0].name]
        found.append(energy(np.asarray(first)))
    return np.concatenate(found)
