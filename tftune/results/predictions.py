"""Predictions: a head's answers to labelled examples, one row each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tftune.atomic import replaced_file
from tftune.errors import ModelFileError


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a head answered on examples whose label is known.

    Attributes:
        labels: as in `Target.labels`; multilabel and regression may hold NaN where one is unknown.
        outputs: float32, shape (num_examples, num_outputs): probabilities or values.
        logits: float32, of the same shape, before the temperature; None where they are not known.
        indices: int, shape (num_examples,): the examples' places in their split.
        names: what to call each example.
        fingerprints: a digest of each example's content.
    """

    labels: np.ndarray
    outputs: np.ndarray
    logits: np.ndarray | None
    indices: np.ndarray
    names: tuple[str, ...]
    fingerprints: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class of each example, int, shape (num_examples,)."""
        return self.outputs.argmax(axis=1)

    @property
    def confidence(self) -> np.ndarray:
        """The probability of that class, float, shape (num_examples,)."""
        return self.outputs.max(axis=1)

    def take(self, rows: Sequence[int] | np.ndarray) -> Predictions:
        """Return chosen rows, in the order given."""
        chosen = np.asarray(rows, int)
        return replace(
            self,
            labels=self.labels[chosen],
            outputs=self.outputs[chosen],
            logits=None if self.logits is None else self.logits[chosen],
            indices=self.indices[chosen],
            names=tuple(self.names[row] for row in chosen),
            fingerprints=tuple(self.fingerprints[row] for row in chosen),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a `.npz` file; of paths only the last two parts, since a run may be shown around.

        Args:
            path: the file; it is replaced if it exists.
        """
        short = ["/".join(name.replace("\\", "/").split("/")[-2:]) for name in self.names]
        arrays = {
            "labels": self.labels,
            "outputs": self.outputs,
            "indices": self.indices,
            "names": np.array(short, np.str_),
            "fingerprints": np.array(self.fingerprints, np.str_),
        }
        if self.logits is not None:
            arrays["logits"] = self.logits
        with replaced_file(path) as temporary, open(temporary, "wb") as stream:
            np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Predictions:
        """Read what `save` wrote.

        Raises:
            ModelFileError: if there is no such file or it cannot be read.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(
                    arrays["labels"],
                    arrays["outputs"],
                    arrays["logits"] if "logits" in arrays else None,
                    arrays["indices"],
                    tuple(arrays["names"].tolist()),
                    tuple(arrays["fingerprints"].tolist()),
                )
        except Exception as error:  # NumPy and zipfile raise half a dozen types of their own
            raise ModelFileError(
                f"{str(path)!r} cannot be read as predictions: {error}."
            ) from error
