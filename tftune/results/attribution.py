"""Attribution: which words of a text speak for an answer."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import numpy as np

from tftune.display import Displayed, Table

_SHOWN = 12
_FOR, _AGAINST = (31, 119, 180), (214, 110, 15)  # blue and orange, told apart by all


@dataclass(frozen=True, eq=False)
class Attribution(Displayed):
    """How much each part of a text speaks for a class.

    Attributes:
        parts: the text in pieces, in order; together they are the text as it was read.
        values: float32, shape (num_parts,): how far the class's logit falls when the part is left
            out (for regression, the quantity in units of its head's scale). Above 0 speaks for the
            class, below 0 against it.
        class_name: the class or quantity.
        probability: the model's answer for it.
    """

    parts: tuple[str, ...]
    values: np.ndarray
    class_name: str
    probability: float

    def strongest(self, count: int = _SHOWN) -> list[tuple[str, float]]:
        """Return the parts that matter most either way, with their values, strongest first."""
        order = np.argsort(-np.abs(self.values), kind="stable")[:count]
        return [(self.parts[index].strip(), float(self.values[index])) for index in order]

    def sections(self) -> list[str | Table]:
        """List the parts that matter most."""
        title = f"{self.class_name!r} ({self.probability:.3f}): what speaks for it and against it"
        rows = [(part, f"{value:+.3f}") for part, value in self.strongest()]
        return [Table(("part", "logit"), rows, title=title)]

    def _repr_html_(self) -> str:
        told = html.escape(f"{self.class_name} {self.probability:.3f}")
        spans = "".join(
            f'<span style="background:rgba({red},{green},{blue},{share:.2f})" '
            f'title="{value:+.3f}">{html.escape(part)}</span>'
            for part, value, (red, green, blue, share) in zip(
                self.parts, self.values, self._colours(), strict=True
            )
        )
        return f'<p><b>{told}</b></p><p style="line-height:1.8;white-space:pre-wrap">{spans}</p>'

    def plot(self, count: int = _SHOWN) -> Any:
        """Draw the parts that matter most as bars.

        Args:
            count: how many bars at most.

        Returns:
            A matplotlib Figure.
        """
        from matplotlib.figure import Figure

        strongest = self.strongest(count)[::-1]
        figure = Figure(figsize=(6.4, 0.8 + 0.28 * len(strongest)), layout="constrained")
        axes = figure.subplots()
        values = [value for _, value in strongest]
        colours = [np.array(_FOR if value >= 0 else _AGAINST) / 255 for value in values]
        axes.barh(range(len(strongest)), values, color=colours)
        names = [part if len(part) <= 30 else part[:29] + "…" for part, _ in strongest]
        axes.set_yticks(range(len(strongest)), names)
        axes.axvline(0, color="0.4", linewidth=0.8)
        axes.set_xlabel("fall of the logit when left out")
        axes.set_title(f"{self.class_name} {self.probability:.2f}", fontsize=10)
        return figure

    def _colours(self) -> list[tuple[int, int, int, float]]:
        peak = float(np.abs(self.values).max(initial=0.0)) or 1.0
        return [
            (*(_FOR if value >= 0 else _AGAINST), 0.75 * abs(float(value)) / peak)
            for value in self.values
        ]
