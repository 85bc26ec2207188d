"""Computing in half precision for the length of a phase."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator

import keras


@contextlib.contextmanager
def computing_in(
    precision: str, network: keras.Model, logits_layers: Collection[str]
) -> Iterator[None]:
    """Let a network compute in another precision while the block runs; weights stay float32.

    The logits stay float32, since a loss in half precision loses what it is there to tell.

    Args:
        precision: "float32", "mixed_bfloat16" or "mixed_float16"; the last scales the loss.
        network: a functional model; compile it inside the block.
        logits_layers: names of the layers that give the logits.
    """
    if precision == "float32":
        yield
        return
    changed = [network, *(layer for layer in network.layers if layer.name not in logits_layers)]
    policies = [layer.dtype_policy for layer in changed]
    try:
        for layer in changed:
            layer.dtype_policy = precision
        yield
    finally:
        for layer, policy in zip(changed, policies, strict=True):
            layer.dtype_policy = policy
