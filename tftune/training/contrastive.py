"""Teaching an encoder which texts belong together, before a head learns which class is which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tftune.builders.transfer_model import TransferModel
from tftune.config.phase import CONTRASTIVE, Phase
from tftune.config.text_input import TextInput
from tftune.data.dataset import Dataset
from tftune.errors import ConfigError, NonFiniteLossError
from tftune.training.boundary import CutModel
from tftune.training.callbacks import (
    History,
    Journal,
    KeepBest,
    StopOnNonFiniteLoss,
    assign,
)
from tftune.training.epochs import fit_epochs
from tftune.training.head_start import start_heads
from tftune.training.optimizer import build_optimizer, step_scales
from tftune.training.run_state import PhaseRecord, Training
from tftune.training.sentinel import Sentinel, promised_variables

_FEW = 16
CHOSEN = (
    f"half of the classes have fewer than {_FEW} texts, so the encoder first learns which texts "
    "are of one class, as SetFit does; so few gained more from that than from fine-tuning "
    "(benchmarks/text_defaults.py)"
)
OFFER = (
    f"half of the classes have fewer than {_FEW} texts; `contrastive=True` teaches the encoder "
    "first which texts are of one class, as SetFit does. It runs whole in every epoch"
)


def offers_contrastive(model: TransferModel, data: Dataset) -> bool:
    """Tell whether a plan should say that there is such a phase: for few texts a class."""
    if not isinstance(model.contract, TextInput) or not _has_classes(model):
        return False
    counts = data.train.targets[0].counts
    counts = counts[counts > 0]
    # One rare class among full ones is no reason to train all of them otherwise.
    return model.spec.pretrained and counts.size > 0 and bool(np.median(counts) < _FEW)


def check_contrastive(model: TransferModel, phases: Sequence[Phase]) -> None:
    """Refuse contrastive phases that have nothing to learn from.

    Raises:
        ConfigError: if the model has not exactly one head, of one class an example, or a phase
            trains nothing of the encoder.
    """
    for phase in phases:
        if phase.name != CONTRASTIVE:
            continue
        if not _has_classes(model):
            raise ConfigError(
                "A contrastive phase needs one head with one class an example. Received: "
                f"{', '.join(head.task for head in model.heads)}."
            )
        if phase.unfreeze == "none" or phase.unfreeze == 0:
            raise ConfigError(
                "A contrastive phase trains the encoder, so `unfreeze` must name a part of it. "
                f"Received: {phase.unfreeze!r}."
            )


def _has_classes(model: TransferModel) -> bool:
    return len(model.heads) == 1 and model.task == "multiclass"


def train_contrastively(
    cut: CutModel,
    data: Dataset,
    phase: Phase,
    record: PhaseRecord,
    around: Any,
    before: list[np.ndarray],
    first_logits: Any,
) -> None:
    """Train what is between the boundary and the pooled features, then start the head anew.

    The loss is that of SetFit: the cosine of two texts of one class is to be 1, of different
    classes 0. SetFit draws pairs; here all pairs of a batch count, those of one class together as
    much as all others together, so that an epoch costs one pass over the texts and not one a pair.

    Args:
        cut: the model, cut below what the phase trains; changed in place.
        data: trained on `train`; `validation` chooses the regularisation of the head's probe.
        phase: for how long and how.
        record: gets the history.
        around: the run's `Surroundings`; its `state` may hold a checkpoint to continue from.
        before: the weights that train in the phase, as they are before it.
        first_logits: the validation split's logits with those.

    References:
        Tunstall et al. 2022, https://arxiv.org/abs/2209.11055.
    """
    model, size = cut.model, phase.batch_size if isinstance(phase.batch_size, int) else 32
    steps = -(-len(data.train) // size)
    encoder = cut.encoder()
    encoder.compile(build_optimizer(phase, steps, step_scales(model, phase)), loss=PairLoss())
    encoder.optimizer.build(encoder.trainable_variables)
    head = {id(weight) for weight in promised_variables(model, "none")}
    promised = [v for v in promised_variables(model, phase.unfreeze) if id(v) not in head]
    show = around.progress.step(record.label)
    history = History(record.label, phase.epochs, record.rows, show, around.log)
    journal = Journal(steps)
    # Nothing is validated on the way, so the weights of the last step are the ones kept.
    best = KeepBest((), float("inf"), 0)
    training = Training(encoder, record, best, history, journal, None, size, before, first_logits)
    continued = around.state.within_phase
    if continued is not None:
        # Running metrics are variables that Keras makes when it first needs them.
        encoder.test_on_batch(*next(iter(cut.ordered_batches(data.train, size))))
        training.restore(continued)
    journal.write = lambda: around.state.write_if_due(training)
    callbacks = [
        around.interrupts,
        # A batch may hold no two texts of one class, and none of different ones; and late in a
        # cosine a step may be too small to change a weight.
        Sentinel(model.keras_model.weights, promised, 0 if continued else steps * phase.epochs),
        StopOnNonFiniteLoss(journal.epoch * steps + journal.step),
        history,
        *around.callbacks(),
        journal,
    ]
    try:
        fit_epochs(
            encoder,
            phase.epochs,
            steps,
            journal,
            lambda place: cut.training_batches(data.train, size, around.plan.seed, place),
            callbacks,
        )
    except NonFiniteLossError:
        assign(cut.top.trainable_variables, before)
        raise
    features = {split.name: cut.features(encoder, split) for split in (data.train, data.validation)}
    _, top = model.cut(model.spec.pooled_layer)
    at_features = CutModel(model, top, model.spec.pooled_layer, features)
    if start_heads(at_features, data, phase):
        record.notes.append(f"{record.label}: no probe fits the head, which stays as it was.")


class PairLoss(keras.losses.Loss):
    """Squared distance of the cosines of all pairs of a batch from 1 (same class) and 0."""

    def __init__(self) -> None:
        super().__init__(name="pair_loss", reduction=None)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss, a scalar.

        Args:
            y_true: class numbers, shape (batch,) or (batch, 1); -1 where unknown.
            y_pred: vectors, shape (batch, channels).
        """
        labels = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        vectors = ops.normalize(ops.cast(y_pred, "float32"), axis=-1)
        cosines = ops.matmul(vectors, ops.transpose(vectors))
        known = labels >= 0
        pairs = ops.cast(known[:, None] & known[None, :], "float32")
        pairs = pairs * (1 - ops.eye(ops.shape(labels)[0]))
        same = ops.cast(labels[:, None] == labels[None, :], "float32") * pairs
        apart = pairs - same
        return 0.5 * (_mean(ops.square(1 - cosines), same) + _mean(ops.square(cosines), apart))


def _mean(values: Any, weights: Any) -> Any:
    return ops.sum(values * weights) / ops.maximum(ops.sum(weights), 1.0)
