"""Heatmap: where in an image a network looked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tftune.display import Displayed, Table


@dataclass(frozen=True, eq=False)
class Heatmap(Displayed):
    """How much each place of an image speaks for a class.

    Attributes:
        values: float32, shape (height, width) of the stage's feature map, in [0, 1]: 1 is the place
            that speaks most for the class; all 0 where none does.
        pixels: float32, shape (height, width, 3): the image as the network sees it, in [0, 255].
        class_name: the class or quantity.
        probability: the network's answer for it.
        stage: the stage whose features were looked at.
        method: "grad-cam" or "grad-cam++".
    """

    values: np.ndarray
    pixels: np.ndarray
    class_name: str
    probability: float
    stage: str
    method: str

    @property
    def resized(self) -> np.ndarray:
        """The values at the image's own size, float32, shape (height, width), in [0, 1]."""
        from PIL import Image

        height, width = self.pixels.shape[:2]
        small = Image.fromarray(self.values.astype(np.float32))
        return np.asarray(small.resize((width, height), Image.Resampling.BILINEAR))

    def overlay(self) -> np.ndarray:
        """Return the image under the heatmap, uint8, shape (height, width, 3)."""
        import matplotlib

        colours = matplotlib.colormaps["inferno"](self.resized)[..., :3] * 255
        share = 0.55 * self.resized[..., None]
        return (self.pixels * (1 - share) + colours * share).clip(0, 255).astype(np.uint8)

    def sections(self) -> list[str | Table]:
        """Say what was explained and where the peak is."""
        row, column = np.unravel_index(self.resized.argmax(), self.resized.shape)
        return [
            f"{self.method} of {self.class_name!r} ({self.probability:.3f}) at {self.stage}: "
            f"strongest at row {row}, column {column} of "
            f"{self.pixels.shape[0]} x {self.pixels.shape[1]} pixels."
        ]

    def plot(self) -> Any:
        """Draw the image, and the same under the heatmap.

        Returns:
            A matplotlib Figure.
        """
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4, 3.3), layout="constrained")
        plain, covered = figure.subplots(1, 2)
        plain.imshow(self.pixels.clip(0, 255).astype(np.uint8))
        covered.imshow(self.overlay())
        scale = ScalarMappable(Normalize(0, 1), "inferno")
        figure.colorbar(scale, ax=covered, shrink=0.8, label="share of the peak")
        covered.set_title(f"{self.class_name} {self.probability:.2f}, {self.stage}", fontsize=9)
        plain.set_title("image", fontsize=9)
        for axes in (plain, covered):
            axes.set_axis_off()
        return figure
