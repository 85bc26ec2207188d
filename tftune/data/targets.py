"""What is to be predicted: a task, the meaning of its outputs, and the true values."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tftune.config.model_spec import TAGS, TASKS
from tftune.errors import DataError, check_choice

DEFAULT_TARGET = "label"


@dataclass(frozen=True, eq=False)
class Target:
    """One thing to predict about every example.

    Attributes:
        name: the label column's name; "label" where there is only one.
        task: "multiclass" (two classes included), "multilabel", "regression", or "tags": a class
            for every word.
        class_names: one a class; for regression, one a predicted quantity.
        labels: multiclass: int64, shape (num_examples,), in [0, num_classes); multilabel: float32,
            shape (num_examples, num_classes), 0 or 1; regression: float32, shape
            (num_examples, num_quantities); tags: int64, shape (num_examples, most words), -1
            behind the words of a text. Unknown values are -1 (multiclass, tags) or NaN.
    """

    name: str
    task: str
    class_names: tuple[str, ...]
    labels: np.ndarray

    def __post_init__(self) -> None:
        check_choice("task", self.task, (*TASKS, TAGS))
        expected = 1 if self.task == "multiclass" else 2
        if self.labels.ndim != expected:
            raise DataError(
                f"`labels` of a {self.task} target must have {expected} dimension(s). "
                f"Received shape: {self.labels.shape}."
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_classes(self) -> int:
        """How many outputs the target has."""
        return len(self.class_names)

    @property
    def counts(self) -> np.ndarray:
        """Examples (for tags, words) of each class; for regression, known values. int, 1-D."""
        if self.task in ("multiclass", TAGS):
            return np.bincount(self.labels[self.labels >= 0], minlength=self.num_classes)
        if self.task == "multilabel":
            return np.nansum(self.labels, axis=0).astype(int)
        return np.isfinite(self.labels).sum(axis=0)

    @property
    def known(self) -> np.ndarray:
        """Which examples have a value, bool, shape (num_examples,)."""
        if self.task == "multiclass":
            return self.labels >= 0
        if self.task == TAGS:
            return np.asarray((self.labels >= 0).any(axis=1))
        return np.isfinite(self.labels).all(axis=1)

    @property
    def partly_known(self) -> np.ndarray:
        """Which examples have a value for at least one class or quantity, bool, (num_examples,)."""
        if self.task in ("multiclass", TAGS):
            return self.known
        return np.isfinite(self.labels).any(axis=1)

    def take(self, indices: np.ndarray) -> Target:
        """Return the target of the chosen examples, in the order given."""
        return replace(self, labels=self.labels[indices])

    @property
    def content(self) -> bytes:
        """The target's meaning and values as bytes, for digests."""
        meaning = repr((self.name, self.task, self.class_names)).encode()
        return meaning + np.ascontiguousarray(self.labels).tobytes()
