"""A search space small enough for tests."""

import pytest

import tftune
from tftune.tuning.ranges import Float


@pytest.fixture(scope="session")
def pinned_space():
    """All pinned but the head's rate."""
    return tftune.SearchSpace(
        dropout=0.0,
        label_smoothing=0.0,
        optimizer="adamw",
        weight_decay=0.0,
        batch_size=8,
        head_rate=Float(1e-3, 1e-1, log=True),
        head_epochs=3,
        fine_tune_rate=1e-3,
        fine_tune_epochs=1,
        layer_decay=1.0,
        unfreeze=1,
    )
