"""Choosing how to train a model on a dataset, with the reason for every choice."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras

from tftune.builders.stages import unfrozen_stages
from tftune.builders.transfer_model import TransferModel
from tftune.config.phase import CONTRASTIVE, Phase, Unfreeze
from tftune.config.plan import Plan
from tftune.config.text_input import TextInput
from tftune.data.augment import Augmentation
from tftune.data.augment_texts import TextAugmentation
from tftune.data.dataset import Dataset
from tftune.training.contrastive import CHOSEN, OFFER, check_contrastive, offers_contrastive
from tftune.training.estimate import estimate_costs
from tftune.training.loss_rule import choose_losses
from tftune.training.optimizer import check_optimizers
from tftune.training.view_rule import choose_views

_FINE_TUNED_FLOPS = 0.3

# Of a text encoder more bears training, and with few texts it costs little: at 10 texts a
# class four of MiniLM's six layers gained two points over one, with 2,000 texts three had the
# lowest validation loss, at the rate of images. What a contrastive phase was tried with is
# a lower one (`python -m benchmarks text_defaults`).
_FEW_TEXTS = 1000
_FINE_TUNED_OF_TEXTS = {True: 0.7, False: 0.55}
_RATE, _CONTRASTIVE_RATE, _RATE_FROM_SCRATCH = 3e-4, 1e-4, 1e-2

# How long fine-tuning takes: few images bear more epochs before they are learnt by heart, and many
# images give enough steps in few. Compared on 50 to 10,000 images with `benchmarks/defaults.py`.
_FINE_TUNED_IMAGES = 8000
_FEWEST_EPOCHS = 4
_MOST_EPOCHS = 16
_WARM_UP = 0.2


def plan(
    model: TransferModel,
    data: Dataset,
    *,
    head_epochs: int = 20,
    fine_tune_epochs: int | None = None,
    head_rate: float = 1e-3,
    fine_tune_rate: float | None = None,
    unfreeze: Unfreeze | None = None,
    batch_size: int | str = 32,
    seed: int = 0,
    imbalance: str = "auto",
    augment: str | Sequence[keras.layers.Layer] | Augmentation | TextAugmentation = "auto",
    views: int | None = None,
    cache: str | None = None,
    estimate: bool = True,
    contrastive: bool | None = None,
) -> Plan:
    """Plan a two-phase training: the head on a frozen backbone, then the top stages too.

    Args:
        model: what to train.
        data: what to train it on.
        head_epochs: epochs of the head alone; they cost milliseconds from the cache.
        fine_tune_epochs: epochs of the top stages and the head; 0 plans the head alone. By default
            16 up to 500 examples, 4 from 2,000 on, and in between so many that 8,000 are seen; 15
            for a network that is not pretrained.
        head_rate: peak learning rate of the first phase.
        fine_tune_rate: peak learning rate of the second; what is far from photographs bears more.
            3e-4 by default, 1e-4 for a contrastive phase, and 1e-2 for what is not pretrained.
        unfreeze: what of the backbone the second phase trains (see `Phase`); by
            default the top stages that hold at most 30% of its floating-point operations; of a text
            encoder 55%, or 70% with fewer than 1,000 texts.
        batch_size: examples a step, or "auto"; see `Phase`.
        seed: seeds the order of examples, dropout and augmentation.
        imbalance: what to do about rare classes: "class_weights", "oversample", "focal" or "none";
            "auto" weighs classes where the largest has more than ten times the examples of the
            smallest, by the square root of what "class_weights" does.
        augment: how training images are changed at random: a policy ("none", "light", "medium",
            "strong"), Keras layers or a `tftune.Augmentation`; of texts "none", "light" or a
            `tftune.TextAugmentation`. "auto" leaves them as they are.
        views: how many views of each image epochs go through, the image itself among them; 0 draws
            new ones online. By default as many as pay for so much data and fit into the cache.
        cache: "disk" or "off"; see `Plan.cache`. By default "disk", unless the views do not fit.
        estimate: also say how long each phase will take, how much it will cache and what will run
            the frozen part. That takes a second or two where there is much to train on.
        contrastive: whether the second phase first teaches the encoder which texts are of one
            class (SetFit, Tunstall et al. 2022) and then starts the head anew, instead of training
            both at once. By default where half of the classes have fewer than 16 texts, if the
            encoder can be cut.

    Returns:
        A plan to print, change with `replace` and give to `fine_tune`.

    Raises:
        ConfigError: if `unfreeze` names no stage or another setting is invalid.
    """
    losses, reasons = choose_losses(model.heads, data.train, imbalance)
    scratch = not model.spec.pretrained
    reads_texts = isinstance(model.contract, TextInput)
    share = _FINE_TUNED_FLOPS
    if reads_texts:
        share = _FINE_TUNED_OF_TEXTS[len(data.train) < _FEW_TEXTS]
    chosen: Unfreeze = default_unfreeze(model, share) if unfreeze is None else unfreeze
    phases = [
        Phase(
            name="feature_extraction",
            unfreeze="none",
            epochs=head_epochs,
            learning_rate=head_rate,
            batch_size=batch_size,
            start_from_probe=True,
            **losses,
        )
    ]
    if fine_tune_epochs is None and scratch:
        fine_tune_epochs = 15
        reasons["fine_tuning"] = "15 epochs, since the encoder learns from nothing"
    elif fine_tune_epochs is None and reads_texts:
        fine_tune_epochs = default_epochs(len(data.train))
        reasons["fine_tuning"] = f"{fine_tune_epochs} epochs for {len(data.train)} texts"
    elif fine_tune_epochs is None:
        fine_tune_epochs = default_epochs(len(data.train))
        reasons["fine_tuning"] = (
            f"{fine_tune_epochs} epochs for {len(data.train)} images, at a rate that gained on "
            "Fashion-MNIST and digits at 5 to 1,000 a class (benchmarks/defaults.py)"
        )
    if contrastive is None and offers_contrastive(model, data):
        # Without a place to be cut every epoch runs the whole encoder.
        contrastive = model.boundary_below(chosen) is not None
        reasons["contrastive"] = CHOSEN if contrastive else OFFER
    if fine_tune_rate is None:
        fine_tune_rate = _CONTRASTIVE_RATE if contrastive else _RATE
        fine_tune_rate = _RATE_FROM_SCRATCH if scratch else fine_tune_rate
    if fine_tune_epochs:
        phases.append(
            Phase(
                name=CONTRASTIVE if contrastive else "fine_tuning",
                unfreeze=chosen,
                epochs=fine_tune_epochs,
                learning_rate=fine_tune_rate,
                batch_size=batch_size,
                warm_up=_WARM_UP,
                interpolate=True,
                **losses,
            )
        )
        if scratch:
            reasons["unfreeze"] = "the encoder is not pretrained, so all of it trains"
        elif unfreeze is None:
            reasons["unfreeze"] = f"the top stages within {share:.0%} of the backbone's operations"
    check_contrastive(model, phases)
    check_optimizers(phases)
    drawn = choose_views(model, data, phases, augment, views, cache)
    cache = drawn.cache
    reasons["augment"] = drawn.reason
    if cache == "disk":
        count = len(data.train) + len(data.validation)
        reasons["cache"] = (
            f"each of {count} {model.contract.things} runs once through what is frozen"
        )
        if reads_texts and fine_tune_epochs and model.boundary_below(chosen) is None:
            reasons["cache"] += (
                ", in the first phase; the second trains the encoder, which has no place to be "
                "cut, so all of it runs on every text in every epoch"
            )
    else:
        thing = model.contract.things.removesuffix("s")
        reasons["cache"] = f"off, so the whole network runs on every {thing} in every epoch"
    stages = stages_of(model, phases)
    planned = Plan(
        tuple(phases),
        calibrate=True,
        seed=seed,
        augment=drawn.augment,
        views=drawn.views,
        cache=cache,
        reasons=reasons,
        stages=stages,
    )
    return planned.replace(costs=estimate_costs(model, data, planned)) if estimate else planned


def stages_of(model: TransferModel, phases: Sequence[Phase]) -> tuple[tuple[str, ...], ...]:
    """Name the stages that train in each phase."""
    return tuple(
        tuple(stage.name for stage in unfrozen_stages(model.stages, phase.unfreeze))
        for phase in phases
    )


def default_epochs(num_examples: int) -> int:
    """Return the epochs of fine-tuning for so many training examples."""
    return min(
        _MOST_EPOCHS, max(_FEWEST_EPOCHS, math.ceil(_FINE_TUNED_IMAGES / max(1, num_examples)))
    )


def default_unfreeze(model: TransferModel, share: float = _FINE_TUNED_FLOPS) -> int:
    """Count the top stages that hold at most a share of the backbone's operations, at least one."""
    budget = share * sum(stage.flops for stage in model.stages)
    held = 0
    count = 0
    for stage in reversed(model.stages):
        held += stage.flops
        if count and held > budget:
            break
        count += 1
    return count
