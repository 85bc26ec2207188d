"""The cached rows that a plan's phases train on, each boundary's made from those beneath it.

A plan with two phases needs the pooled features and the activations at a lower boundary. Running
the lower part over the images and the part between over its rows gives both for one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tftune.builders.transfer_model import TransferModel
from tftune.cache.activations import Activations
from tftune.cache.store import ActivationStore
from tftune.cache.trunk_pass import boundary_activations
from tftune.config.plan import Plan
from tftune.config.text_input import TextInput
from tftune.data.dataset import Split
from tftune.errors import CacheFullError
from tftune.progress import Progress
from tftune.training.views import Views, pass_name


def boundary_beneath(model: TransferModel, plan: Plan, boundary: str, view: int = 0) -> str | None:
    """Name the highest lower boundary at which the plan needs the rows of the same view.

    Args:
        model: the model.
        plan: its phases say which boundaries are needed.
        boundary: the one whose rows are wanted.
        view: the number of the view.

    Returns:
        The layer's name; None where rows are made from the images: without such a boundary, where
        its rows are rounded to float16, and for texts, whose rows are padded.
    """
    if plan.cache_dtype != "float32" or isinstance(model.contract, TextInput):
        return None
    views = Views.of_plan(plan)
    heights = {stage.boundary.layer: height for height, stage in enumerate(model.stages)}
    heights[model.spec.pooled_layer] = len(heights)
    lower = set()
    for phase in plan.phases:
        seen = views.for_epochs(phase.epochs) if views else 1
        at = model.boundary_below(phase.unfreeze)
        if phase.epochs and view < seen and at is not None and heights[at] < heights[boundary]:
            lower.add(at)
    return max(lower, key=heights.__getitem__, default=None)


@dataclass(frozen=True)
class PlannedRows:
    """Fills the cache as a plan needs it.

    Attributes:
        model: the model, with the weights it has now.
        plan: says which boundaries and views are needed, and how they are kept.
        progress: shows the passes.
        store: the cache; the default one if None.
    """

    model: TransferModel
    plan: Plan
    progress: Progress
    store: ActivationStore | None = None

    def of(self, split: Split, boundary: str, view: int = 0) -> Activations:
        """Return the rows of a split at a boundary; what is not in the cache is computed.

        Args:
            split: the examples.
            boundary: name of the layer.
            view: which view of the examples; 0 is the examples themselves.

        Raises:
            CacheFullError: if the disk or the budget has no room.
        """
        return self._rows(split.name, split.examples, boundary, view)

    def _rows(self, name: str, examples: Any, boundary: str, view: int) -> Activations:
        trunk, _ = self.model.cut(boundary)
        views = Views.of_plan(self.plan)
        dtype = self.plan.cache_dtype if boundary != self.model.spec.pooled_layer else "float32"
        settings: dict[str, Any] = {
            "store": self.store,
            "on_progress": self.progress.step(pass_name(name, boundary, view)),
            "view": views.key(view) if views else "",
        }
        lower = boundary_beneath(self.model, self.plan, boundary, view)
        if lower is not None:
            part = trunk.above(lower)
            batches = self._batches_at(name, lower, view)
            try:
                return boundary_activations(part, examples, dtype, batches=batches, **settings)
            except CacheFullError:
                pass  # the rows beneath are the larger ones; without them these may still fit
        drawn = views.batches(self.model.contract, view) if views and view else None
        return boundary_activations(trunk, examples, dtype, batches=drawn, **settings)

    def _batches_at(
        self, name: str, lower: str, view: int
    ) -> Callable[[Any, int], Iterator[np.ndarray]]:
        def batches(examples: Any, batch_size: int) -> Iterator[np.ndarray]:
            rows = self._rows(name, examples, lower, view)
            for start in range(0, len(rows), batch_size):
                yield rows[start : start + batch_size]

        return batches
