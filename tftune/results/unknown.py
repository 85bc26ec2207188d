"""What a model knows: enough of its training features to tell when an image is unlike them all."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from tftune.display import Displayed, Table
from tftune.results.evaluation import Interval

UNKNOWN = "unknown"
_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class KnownFeatures:
    """Training features, and how far from the nearest of them an image is still known.

    Attributes:
        rows: float16, shape (num_rows, num_features), each of length 1.
        threshold: distances above it are unknown.
    """

    rows: np.ndarray
    threshold: float

    @classmethod
    def of(cls, features: np.ndarray, threshold: float = float("inf")) -> KnownFeatures:
        """Keep features, float, shape (num_rows, num_features), of any length."""
        return cls(_normalised(features).astype(np.float16), threshold)

    def distances(self, features: np.ndarray) -> np.ndarray:
        """Return each image's distance to the nearest training image.

        Args:
            features: float, shape (num_images, num_features).

        Returns:
            float32, shape (num_images,): 1 minus the cosine similarity, in [0, 2].

        References:
            Sun et al. 2022, https://arxiv.org/abs/2204.06507, with k = 1.
        """
        unit = _normalised(features).astype(np.float32)
        nearest = np.full(len(unit), -1, np.float32)
        for start in range(0, len(self.rows), _AT_ONCE):
            known = self.rows[start : start + _AT_ONCE].astype(np.float32)
            nearest = np.maximum(nearest, (unit @ known.T).max(axis=1))
        return 1 - nearest

    def unknown(self, features: np.ndarray) -> np.ndarray:
        """Tell which images are unlike all training images, bool, shape (num_images,)."""
        return self.distances(features) > self.threshold

    def to_bytes(self) -> bytes:
        """Return an `.npz` file's content."""
        stream = io.BytesIO()
        np.savez(stream, rows=self.rows, threshold=self.threshold)
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> KnownFeatures:
        """Read what `to_bytes` wrote."""
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return cls(arrays["rows"], float(arrays["threshold"]))


@dataclass(frozen=True)
class UnknownFit(Displayed):
    """What a model's sense of the unknown was set to, and how well it works.

    Attributes:
        threshold: the distance above which an image is unknown.
        num_known: training images it is compared with.
        false_alarms: share of the validation images that are called unknown.
        auroc: area under the ROC curve of telling other images from validation images, 0.5 is
            chance; None if no other images were given.
        energy_auroc: that of the energy of the logits, which needs no training images.
        detected: share of the other images that are called unknown; None without them.
        num_others: other images.
    """

    threshold: float
    num_known: int
    false_alarms: float
    auroc: Interval | None = None
    energy_auroc: Interval | None = None
    detected: float | None = None
    num_others: int = 0

    def sections(self) -> list[str | Table]:
        """Say what was found."""
        told = (
            f"An image is unknown if it is further than {self.threshold:.3f} from the nearest of "
            f"{self.num_known} training images; so are {self.false_alarms:.1%} of the validation "
            "images."
        )
        if self.auroc is None or self.energy_auroc is None:
            return [told]
        return [
            told,
            f"Of {self.num_others} other images {self.detected:.1%} are called unknown. AUROC "
            f"{self.auroc}; by the energy of the logits {self.energy_auroc}.",
        ]


def _normalised(features: np.ndarray) -> np.ndarray:
    wide = np.asarray(features, np.float32)
    return wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
