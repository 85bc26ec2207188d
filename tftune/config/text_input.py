"""The text contract: what of a text a model reads."""

from __future__ import annotations

from dataclasses import dataclass

from tftune.errors import ConfigError


@dataclass(frozen=True)
class TextInput:
    """The text contract: what of a text a model reads.

    Attributes:
        sequence_length: tokens at most, special ones included; 0 where the encoder decides.
        num_texts: texts an example: 1, or 2 for a model of pairs.
    """

    sequence_length: int = 0
    num_texts: int = 1

    @property
    def things(self) -> str:
        """What a model with this contract reads, in the plural."""
        return "texts"

    def __post_init__(self) -> None:
        if self.sequence_length < 0:
            raise ConfigError(
                f"`sequence_length` must be at least 0. Received: {self.sequence_length}."
            )
        if self.num_texts not in (1, 2):
            raise ConfigError(f"`num_texts` must be 1 or 2. Received: {self.num_texts}.")
