"""Training from random weights, to tell whether transfer helped: a copy, or a floor for texts."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from tftune.builders.heads import by_head
from tftune.builders.hub_layer import HubLayer
from tftune.builders.text_classifier import build_text_classifier
from tftune.builders.text_encoders import NGRAMS
from tftune.builders.transfer_model import TransferModel
from tftune.config.model_spec import TAGS
from tftune.config.phase import Phase
from tftune.config.plan import Plan
from tftune.config.text_input import TextInput
from tftune.data.dataset import Dataset
from tftune.errors import ConfigError
from tftune.progress import Progress
from tftune.training.boundary import CutModel
from tftune.training.callbacks import History, KeepBest
from tftune.training.devices import settle_statistics
from tftune.training.interrupts import Interrupts
from tftune.training.objective import training_objective
from tftune.training.optimizer import build_optimizer
from tftune.training.views import Views

_RATE = 1e-3
_FLOOR_EPOCHS, _FLOOR_RATE = 15, 1e-2
_FLOOR_STEPS = 64
"""Steps an epoch, from where on batches grow."""
STEP = "from scratch"


def check_from_scratch(model: TransferModel) -> None:
    """Refuse a model that has no random weights to start from.

    Raises:
        ConfigError: if its backbone is a SavedModel.
    """
    if any(isinstance(layer, HubLayer) for layer in model.keras_model.layers):
        raise ConfigError(
            "`from_scratch` needs a backbone that can be built anew. Received: a TF-Hub model. "
            "Leave it out."
        )


def logits_from_scratch(
    model: TransferModel,
    data: Dataset,
    plan: Plan,
    progress: Progress,
    interrupts: Interrupts,
) -> Any:
    """Train a copy with random weights for as many epochs as the plan has, and ask it.

    All of it trains, BatchNormalization included, at 1e-3 with AdamW, a warm-up and a cosine, with
    the plan's batches, augmentation and losses; of all epochs the one that validates best counts.
    It runs without the cache, for nothing in it is frozen, so it takes much longer than the run.

    Args:
        model: what to copy; not changed.
        data: trained on `train`, judged on `validation`.
        plan: how long and how.
        progress: shows the epochs.
        interrupts: stops training where Ctrl-C was asked for and lost.

    Returns:
        The validation split's logits, as the model's own top gives them.
    """
    last = plan.phases[-1]
    size = last.batch_size if isinstance(last.batch_size, int) else 32
    epochs = sum(phase.epochs for phase in plan.phases)
    phase = Phase(
        "fine_tuning",
        "all",
        epochs,
        _RATE,
        size,
        label_smoothing=last.label_smoothing,
        class_weights=last.class_weights,
    )
    keras.utils.set_random_seed(plan.seed)
    bare = keras.Model(model.logits_model.input, model.logits_model.output)
    network = keras.models.clone_model(bare)
    for layer, original in zip(network.layers, bare.layers, strict=True):
        layer.trainable = True
        if isinstance(layer, keras.layers.Normalization):  # preprocessing, not knowledge
            layer.set_weights(original.get_weights())
    settle_statistics(network)
    cut = CutModel(model, network, None, views=Views.of_plan(plan))
    return _logits_after(cut, data, phase, plan.seed, progress.step(STEP), interrupts)


def floor_logits(
    model: TransferModel, data: Dataset, plan: Plan, progress: Progress, interrupts: Interrupts
) -> dict[str, Any]:
    """Train the encoder "ngrams" from random weights, the floor of pretrained text encoders.

    Args:
        model: what it is compared with; not changed.
        data: trained on `train`, judged on `validation`.
        plan: whose losses and seed it takes.
        progress: shows the epochs.
        interrupts: stops training where Ctrl-C was asked for and lost.

    Returns:
        The validation split's logits by head name; nothing for images, tags of words, and models
        that are not pretrained themselves.
    """
    known = isinstance(model.contract, TextInput) and model.spec.pretrained
    if not known or model.task == TAGS:
        return {}
    last = plan.phases[-1]
    size = min(256, max(32, len(data.train) // _FLOOR_STEPS))
    phase = Phase(
        "fine_tuning", "all", _FLOOR_EPOCHS, _FLOOR_RATE, size, class_weights=last.class_weights
    )
    keras.utils.set_random_seed(plan.seed)
    floor = build_text_classifier(NGRAMS, data)
    floor.set_trainable("all")
    cut = CutModel(floor, floor.logits_model, None)
    show = progress.step(NGRAMS)
    return dict(by_head(model.heads, _logits_after(cut, data, phase, plan.seed, show, interrupts)))


def _logits_after(
    cut: CutModel,
    data: Dataset,
    phase: Phase,
    seed: int,
    show: Any,
    interrupts: Interrupts,
) -> Any:
    """Train all of a network, and return its validation logits after the best epoch."""
    keras.utils.set_random_seed(seed)
    network, size, epochs = cut.top, phase.batch_size, phase.epochs
    assert isinstance(size, int)
    steps = -(-len(data.train) // size)
    objective = training_objective(cut.model.heads, phase, data.train)
    objective.compile(network, build_optimizer(phase, steps))
    best = KeepBest(network.weights, np.inf, 0)
    history = History(STEP, epochs, [], show, lambda row: None)
    network.fit(
        cut.training_batches(data.train, size, seed, (0, 0)),
        epochs=epochs,
        steps_per_epoch=steps,
        validation_data=cut.ordered_batches(data.validation, size),
        shuffle=False,
        verbose=0,
        callbacks=[interrupts, best, history],
    )
    best.restore()
    return cut.logits(data.validation)
