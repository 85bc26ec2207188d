"""Pooled features of every backbone that a search tries, from the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tftune.builders.new_head import head_settings, with_head
from tftune.builders.transfer_model import TransferModel
from tftune.cache.store import ActivationStore
from tftune.cache.trunk_pass import boundary_activations
from tftune.config.plan import Plan
from tftune.data.dataset import Dataset, Split
from tftune.progress import Progress
from tftune.training.views import Views


class Features:
    """Pooled features by backbone, pooling and split; each backbone runs over the data once.

    Args:
        models: by the names of their backbones.
        data: what the features are of.
        poolings: those that may be asked for; None stands for the model's own.
        store: the activation cache.
        progress: shows the passes.
    """

    def __init__(
        self,
        models: Mapping[str, TransferModel],
        data: Dataset,
        poolings: Sequence[str | None],
        store: ActivationStore | None,
        progress: Progress,
    ) -> None:
        self.models = models
        self.data = data
        self._poolings = poolings
        self._store = store
        self._progress = progress
        self._held: dict[tuple[str, str, str], np.ndarray] = {}

    def of(self, backbone: str, pooling: str, split: Split) -> np.ndarray:
        """Return float32 features, shape (num_examples, num_features)."""
        return self._pooled(self._rows(backbone, split), backbone, pooling)

    def views(self, backbone: str, pooling: str, plan: Plan) -> list[np.ndarray]:
        """Return the features of every view of the training split that a plan's epochs see."""
        views = Views.of_plan(plan)
        count = views.for_epochs(plan.phases[0].epochs) if views else 1
        held = [self._rows(backbone, self.data.train, views, view) for view in range(count)]
        return [self._pooled(rows, backbone, pooling) for rows in held]

    def _pooled(self, held: np.ndarray, backbone: str, pooling: str) -> np.ndarray:
        model = self.models[backbone]
        if self._pooling_kept(model) != "concat" or pooling == "concat":
            return held
        width = held.shape[1] // 2
        return held[:, :width] if pooling == "average" else held[:, width:]

    def prepare(self) -> None:
        """Fill the cache for the training and validation splits of every backbone."""
        for backbone in self.models:
            for split in (self.data.train, self.data.validation):
                self._rows(backbone, split)

    def _pooling_kept(self, model: TransferModel) -> str:
        """Name the pooling that the cache holds: both at once where several are asked for."""
        own = head_settings(model)["pooling"]
        if len(model.backbone.output_shape) == 2:
            return own  # already vectors; every pooling leaves them
        asked = {own if pooling is None else pooling for pooling in self._poolings}
        return asked.pop() if len(asked) == 1 else "concat"

    def _rows(
        self, backbone: str, split: Split, views: Views | None = None, view: int = 0
    ) -> np.ndarray:
        drawn = views.key(view) if views else ""
        key = (backbone, split.name, drawn)
        if key not in self._held:
            model = self.models[backbone]
            kept = self._pooling_kept(model)
            if kept != head_settings(model)["pooling"]:
                model = with_head(model, pooling=kept)
            trunk, _ = model.cut(model.spec.pooled_layer)
            told = f" (view {view + 1})" if view else ""
            rows = boundary_activations(
                trunk,
                split.examples,
                store=self._store,
                on_progress=self._progress.step(f"cache {split.name} of {backbone}{told}"),
                view=drawn,
                batches=views.batches(model.contract, view) if views and view else None,
            )
            self._held[key] = np.asarray(rows, np.float32)
        return self._held[key]
