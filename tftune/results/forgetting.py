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
    """

    similarity: float
    num_examples: int

    def sections(self) -> list[str | Table]:
        """Say it in one sentence."""
        return [
            f"Features: {self.similarity:.3f} alike before and after fine-tuning (linear CKA on "
            f"{self.num_examples} validation examples; 1 is unchanged)."
        ]
