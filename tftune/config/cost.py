"""What a phase of a plan is expected to cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PhaseCost:
    """What a phase will take, estimated before it runs.

    Attributes:
        boundary: name of the layer that the network is cut at; "" where all of it runs every time.
        engine: what will run the frozen part; "" where nothing needs to be run.
        reason: why this engine.
        rows: images that run through the frozen part, each view counted.
        cached: images whose activations are in the cache already.
        cache_bytes: what the new activations take on disk.
        pass_seconds: how long running them takes.
        train_seconds: how long training takes.
    """

    boundary: str
    engine: str
    reason: str
    rows: int
    cached: int
    cache_bytes: int
    pass_seconds: float
    train_seconds: float

    @property
    def seconds(self) -> float:
        """How long the phase takes."""
        return self.pass_seconds + self.train_seconds

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PhaseCost:
        """Rebuild it from its fields."""
        return cls(**value)
