"""Choosing how a plan augments: the policy, and views from the cache or new ones online."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tftune.builders.transfer_model import TransferModel
from tftune.cache.store import ActivationStore
from tftune.cache.trunk_pass import required_bytes
from tftune.config.model_spec import TAGS
from tftune.config.phase import Phase
from tftune.config.text_input import TextInput
from tftune.data.augment import Augmentation
from tftune.data.augment_texts import TextAugmentation
from tftune.data.dataset import Dataset
from tftune.display import show_size
from tftune.errors import ConfigError

# Each view costs a pass, so few images get many views and many images few.
_IMAGES_TO_PASS = 4000
_FEWEST_VIEWS = 2
_MOST_VIEWS = 8


@dataclass(frozen=True)
class ChosenViews:
    """What `choose_views` chose: `augment`, `views` and `cache` of a plan, and why."""

    augment: str | Mapping[str, Any]
    views: int
    cache: str
    reason: str


def choose_views(
    model: TransferModel,
    data: Dataset,
    phases: Sequence[Phase],
    augment: str | Sequence[keras.layers.Layer] | Augmentation | TextAugmentation,
    views: int | None,
    cache: str | None,
    dtype: str = "float32",
    store: ActivationStore | None = None,
) -> ChosenViews:
    """Choose views from the cache, as long as they fit; otherwise new ones online.

    Args:
        model: says how large a row is.
        data: says how many there are.
        phases: say where the model is cut.
        augment: what was asked for; "auto" leaves images as they are.
        views: how many were asked for; None chooses.
        cache: what was asked for; None chooses.
        dtype: how activations above the pooled features are kept.
        store: the cache; the default one if None.

    Raises:
        ConfigError: if the augmentation is none that is known, or views are asked for without one.
    """
    if isinstance(model.contract, TextInput):
        return _choose_text_views(model, data, phases, augment, views, cache, dtype, store)
    if views is not None and augment in ("auto", "none"):
        raise ConfigError(
            f"`views` are versions of an image that `augment` draws. Received: {views} and "
            f"{augment!r}, which draws none. Add augment='light', or leave `views` out."
        )
    if isinstance(augment, str) and augment == "auto":
        # Even mirroring changes what some images mean, such as digits and text.
        reason = (
            "none: random views did not raise accuracy on 5 and 20 images a class of Fashion-MNIST "
            "and digits (benchmarks/defaults.py), and only you know which changes keep the class; "
            'try augment="light"'
        )
        return ChosenViews("none", 0, cache or "disk", reason)
    if isinstance(augment, TextAugmentation):
        raise ConfigError("`augment` is a TextAugmentation, but the model reads images.")
    chosen = Augmentation.of(augment)
    if chosen.is_none:
        return ChosenViews("none", 0, cache or "disk", "none, as asked")
    recorded = chosen.name if _is_policy(chosen) else chosen.to_json()
    return _place_views(model, data, phases, chosen, recorded, views, cache, dtype, store)


def _choose_text_views(
    model: TransferModel,
    data: Dataset,
    phases: Sequence[Phase],
    augment: Any,
    views: int | None,
    cache: str | None,
    dtype: str,
    store: ActivationStore | None,
) -> ChosenViews:
    """Do what `choose_views` does, for texts."""
    if isinstance(augment, str) and augment in ("auto", "none"):
        return ChosenViews("none", 0, cache or "disk", "none for texts, unless asked for")
    chosen = TextAugmentation() if augment == "light" else augment
    if not isinstance(chosen, TextAugmentation):
        raise ConfigError(
            "`augment` of texts must be 'none', 'light' or a tftune.TextAugmentation. "
            f"Received: {augment!r}."
        )
    if model.task == TAGS:
        raise ConfigError("`augment` would part words from their tags. Leave it out.")
    if chosen.is_none:
        return ChosenViews("none", 0, cache or "disk", "none, as asked")
    return _place_views(model, data, phases, chosen, chosen.to_json(), views, cache, dtype, store)


def _place_views(
    model: TransferModel,
    data: Dataset,
    phases: Sequence[Phase],
    chosen: Augmentation | TextAugmentation,
    recorded: str | Mapping[str, Any],
    views: int | None,
    cache: str | None,
    dtype: str,
    store: ActivationStore | None,
) -> ChosenViews:
    """Say how many views there are, and whether they come from the cache."""
    if cache == "off" or views == 0 or chosen.mix != "none":
        why = "new ones in every epoch, as asked"
        if chosen.mix != "none" and cache != "off" and views != 0:
            why = f"{chosen.mix} blends other images in every batch, so nothing can be cached"
        mode = cache or "off"
        return ChosenViews(recorded, views or 0, mode, f"{chosen.name}, online: {why}")
    epochs = max(phase.epochs for phase in phases)
    count = len(data.train)
    wanted = views or int(np.clip(_IMAGES_TO_PASS // max(1, count), _FEWEST_VIEWS, _MOST_VIEWS))
    wanted = max(_FEWEST_VIEWS, min(wanted, epochs))
    kept = cached_bytes(model, phases, count, dtype) * wanted
    kept += cached_bytes(model, phases, len(data.validation), dtype)
    room = (store or ActivationStore()).room
    told = f"{wanted} views of {count} {model.contract.things}"
    if kept > room and cache is None and views is None:
        reason = (
            f"{chosen.name}, online: {told} would take {show_size(kept)} and the cache has room "
            f"for {show_size(room)}"
        )
        return ChosenViews(recorded, 0, "off", reason)
    reason = f"{chosen.name}: {told} run through what is frozen once, {show_size(kept)} in all"
    return ChosenViews(recorded, wanted, "disk", reason)


def cached_bytes(
    model: TransferModel, phases: Sequence[Phase], num_examples: int, dtype: str
) -> int:
    """Return the bytes that examples take in the cache at every boundary of some phases."""
    total = 0
    for boundary in {model.boundary_below(phase.unfreeze) for phase in phases if phase.epochs}:
        if boundary is not None:
            stored = "float32" if boundary == model.spec.pooled_layer else dtype
            total += required_bytes(model.cut(boundary)[0], num_examples, stored)
    return total


def _is_policy(augmentation: Augmentation) -> bool:
    return augmentation.name != "custom" and augmentation == Augmentation.of(augmentation.name)
