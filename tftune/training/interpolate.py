"""Mixing the weights before and after a phase, and keeping the mix that validates best."""

from __future__ import annotations

import numpy as np

from tftune.data.dataset import Split
from tftune.training.boundary import CutModel
from tftune.training.callbacks import assign, copy_of
from tftune.training.losses import head_loss

_SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)


def best_mix(
    cut: CutModel, validation: Split, before: list[np.ndarray], logits_before: np.ndarray
) -> tuple[np.ndarray, float]:
    """Set the weights to the best mix of those before the phase and those it ended with.

    A mix is taken only if it is no less accurate on validation than the weights before and has the
    lowest loss, so the phase cannot make validation worse.

    Args:
        cut: its top holds the weights after the phase.
        validation: what the mixes are judged on.
        before: the values of the top's trainable variables before the phase.
        logits_before: the validation logits under those.

    Returns:
        The validation logits under the mix, and its share of the weights after the phase.

    References:
        Wortsman et al. 2022, https://arxiv.org/abs/2109.01903.
    """
    variables = list(cut.top.trainable_variables)
    after = copy_of(variables)
    head = cut.model.spec.heads[0]
    loss = head_loss(head)

    def hits(logits: np.ndarray) -> int:
        if head.task != "multiclass":
            return 0
        return int((logits.argmax(axis=1) == validation.labels).sum())

    least = hits(logits_before)
    best = (float(loss(validation.labels, logits_before)), 0.0, logits_before)
    for share in _SHARES:
        mix = [(1 - share) * old + share * new for old, new in zip(before, after, strict=True)]
        assign(variables, mix if share < 1 else after)
        logits = cut.logits(validation)
        candidate = (float(loss(validation.labels, logits)), share, logits)
        if hits(logits) >= least and candidate[0] < best[0]:
            best = candidate
    _, share, logits = best
    kept = [(1 - share) * old + share * new for old, new in zip(before, after, strict=True)]
    assign(variables, {0.0: before, 1.0: after}.get(share, kept))
    return logits, share
