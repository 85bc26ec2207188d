"""A model cut at a phase's freeze boundary, with what its trunk gives on every split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tftune.builders.sequences import without_padding
from tftune.builders.transfer_model import TransferModel
from tftune.builders.trunk import compiled
from tftune.cache.activations import Activations
from tftune.cache.store import ActivationStore
from tftune.config.phase import Phase
from tftune.config.plan import Plan
from tftune.data.dataset import Dataset, Split
from tftune.data.pipeline import input_batches
from tftune.data.targets import Target
from tftune.errors import CacheFullError
from tftune.progress import Progress
from tftune.training.batches import cached_epochs, labels_of, online_epochs
from tftune.training.rows import PlannedRows
from tftune.training.views import Views


@dataclass
class CutModel:
    """What trains in a phase, and what it reads.

    Attributes:
        model: the whole model.
        top: the Keras model that trains, from the boundary (or from pixels) to logits.
        boundary: name of the layer that was cut at; None when the whole network runs every time.
        activations: the boundary's activations by split name; empty without a boundary.
        views: how training images are changed at random; None leaves them.
        drawn: the training split's activations for each view beyond the images themselves.
        repeated: a target of which training batches show rare classes as often as the largest.
        head_only: whether the heads alone train.
        notes: what the reader should know, one sentence each.
    """

    model: TransferModel
    top: keras.Model
    boundary: str | None
    activations: Mapping[str, Activations | np.ndarray] = field(default_factory=dict)
    views: Views | None = None
    drawn: list[Activations] = field(default_factory=list)
    repeated: Target | None = None
    head_only: bool = False
    notes: list[str] = field(default_factory=list)
    _forward: Callable[[tf.Tensor], tf.Tensor] | None = None
    _counts: dict[str, np.ndarray | None] = field(default_factory=dict)

    def training_batches(
        self,
        split: Split,
        batch_size: int,
        seed: int,
        start: tuple[int, int],
        drop_remainder: bool = False,
    ) -> tf.data.Dataset:
        """Return endless shuffled batches of (input, label), from an epoch and batch on."""
        if self.boundary is None:
            return online_epochs(
                split,
                self.model.contract,
                batch_size,
                None,
                seed,
                start,
                drop_remainder,
                self.views,
                self.repeated,
                self._lengths(split),
            )
        rows: list[Any] = [self.activations[split.name], *self.drawn]
        labels = labels_of(split)
        return cached_epochs(
            rows,
            labels,
            batch_size,
            None,
            seed,
            start,
            drop_remainder,
            self.repeated,
            self._trim,
            self._lengths(split),
        )

    def ordered_batches(self, split: Split, batch_size: int) -> tf.data.Dataset:
        """Return batches of (input, label) once, in the examples' own order."""
        if self.boundary is None:
            return online_epochs(split, self.model.contract, batch_size, 1, None)
        rows = [self.activations[split.name]]
        return cached_epochs(rows, labels_of(split), batch_size, 1, None, trim=self._trim)

    def logits(self, split: Split, batch_size: int = 64) -> Any:
        """Run the top over a split with the weights it has now.

        Returns:
            float32, shape (num_examples, num_outputs); for several heads a dictionary of such
            arrays by head name.
        """
        if self._forward is None:
            self._forward = compiled(self.top)
        return self._outputs(self._forward, split, batch_size)

    def encoder(self) -> keras.Model:
        """Return what is between the boundary and the features the heads see."""
        tensors = {op.name: op.output for op in self.model.keras_model.operations}
        below = self.model.keras_model.input if self.boundary is None else tensors[self.boundary]
        return keras.Model(below, tensors[self.model.spec.pooled_layer], name="encoder")

    def features(self, encoder: keras.Model, split: Split, batch_size: int = 64) -> np.ndarray:
        """Run what `encoder` gave over a split, shape (num_examples, num_features)."""
        return np.asarray(self._outputs(compiled(encoder), split, batch_size))

    def _outputs(
        self, forward: Callable[[tf.Tensor], tf.Tensor], split: Split, batch_size: int
    ) -> Any:
        rows = [forward(batch) for batch in self._inputs(split, batch_size)]
        return tf.nest.map_structure(lambda *parts: np.concatenate(parts).astype(np.float32), *rows)

    def _lengths(self, split: Split) -> np.ndarray | None:
        """Return what decides how much an example costs, unless all cost the same."""
        if self.head_only:
            return None
        if split.name not in self._counts:
            trunk, _ = self.model.cut(self.model.spec.pooled_layer)
            self._counts[split.name] = trunk.lengths(split.examples)
        return self._counts[split.name]

    @property
    def _trim(self) -> Callable[[np.ndarray], np.ndarray] | None:
        is_sequence = self.boundary is not None and None in self.top.input_shape[1:]
        return without_padding if is_sequence else None

    def _inputs(self, split: Split, batch_size: int) -> Iterator[tf.Tensor]:
        if self.boundary is None:
            yield from input_batches(split.examples, self.model.contract, batch_size)
            return
        rows = self.activations[split.name]
        for start in range(0, len(split), batch_size):
            chosen = np.arange(start, min(start + batch_size, len(split)))
            gathered = np.asarray(rows[chosen], dtype=np.float32)
            yield tf.constant(gathered if self._trim is None else self._trim(gathered))


def cut_for_phase(
    model: TransferModel,
    data: Dataset,
    plan: Plan,
    phase: Phase,
    progress: Progress,
    store: ActivationStore | None = None,
) -> CutModel:
    """Cut a model below what a phase trains, and fill the cache for the data.

    Args:
        model: the model.
        data: its `train` and `validation` splits run through the trunk.
        plan: says whether and how activations are cached.
        phase: says what trains.
        progress: shows the pass.
        store: the cache; the default one if None. When it is full, the phase goes on without it.
    """
    views = Views.of_plan(plan)
    boundary = model.boundary_below(phase.unfreeze)
    head_only = boundary == model.spec.pooled_layer
    uncached = CutModel(model, model.logits_model, None, views=views, head_only=head_only)
    if plan.cache == "off" or boundary is None:
        return uncached
    rows = PlannedRows(model, plan, progress, store)
    try:
        activations = {
            split.name: rows.of(split, boundary) for split in (data.train, data.validation)
        }
        drawn = [
            rows.of(data.train, boundary, view)
            for view in range(1, views.for_epochs(phase.epochs) if views else 1)
        ]
    except CacheFullError as error:
        note = f"{phase.name} ran without the cache, the whole network on every example: {error}"
        progress.say(note)
        uncached.notes.append(note)
        return uncached
    top = model.cut(boundary)[1]
    return CutModel(model, top, boundary, activations, views, drawn, head_only=head_only)
