"""Forgetting: how far fine-tuning moved the features."""

from __future__ import annotations

from dataclasses import dataclass

from tftune.display import Displayed, Table


@dataclass(frozen=True)
class Forgetting(Displayed):
    """Pretrained and fine-tuned features of the same held-out examples.

    Attributes:
        similarity: their linear centred kernel alignment, in [0, 1]; 1 when one is a rotation and
            scaling of the other.
        num_examples: validation examples.
        agreement: the share of them on which the original ImageNet classifier gives the same of its
            1,000 classes from both; None where it is not at hand.
    """

    similarity: float
    num_examples: int
    agreement: float | None = None

    def sections(self) -> list[str | Table]:
        """Say it in a sentence or two."""
        told = (
            f"Features: {self.similarity:.3f} alike before and after fine-tuning (linear CKA on "
            f"{self.num_examples} validation examples; 1 is unchanged)."
        )
        if self.agreement is not None:
            told += (
                f" The original ImageNet classifier still says the same of {self.agreement:.0%}."
            )
        return [told]
