"""Mixing the weights before and after a phase, and keeping the mix that validates best."""

from __future__ import annotations

import numpy as np

from tftune.config.model_spec import HeadSpec
from tftune.data.dataset import Split
from tftune.evaluation.calibration import fit_temperature
from tftune.training.boundary import CutModel
from tftune.training.callbacks import assign, copy_of
from tftune.training.losses import head_loss

_SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)


def best_mix(
    cut: CutModel, validation: Split, before: list[np.ndarray], logits_before: np.ndarray
) -> tuple[np.ndarray, float]:
    """Set the weights to the best mix of those before the phase and those it ended with.

    A mix is taken only if it is no less accurate on validation than the weights before and has the
    lowest loss, so the phase cannot make validation worse. Each is judged at the temperature that
    suits it best, which the chosen mix gets: fine-tuning on few images makes a model surer of all
    its answers, the wrong ones too. That costs more cross-entropy than better features save, and
    dividing the logits by one number undoes it.

    Args:
        cut: its top holds the weights after the phase.
        validation: what the mixes are judged on.
        before: the values of the top's trainable variables before the phase.
        logits_before: the validation logits under those.

    Returns:
        The validation logits under the mix, and its share of the weights after the phase.
        Weights of the logits' layer are divided by the temperature, unless the share is 0.

    References:
        Wortsman et al. 2022, https://arxiv.org/abs/2109.01903.
    """
    variables = list(cut.top.trainable_variables)
    after = copy_of(variables)
    head = cut.model.spec.heads[0]

    def hits(logits: np.ndarray) -> int:
        if head.task != "multiclass":
            return 0
        return int((logits.argmax(axis=1) == validation.labels).sum())

    least = hits(logits_before)
    lowest, _ = best_temperature(head, validation, logits_before)
    share, temperature, logits = 0.0, 1.0, logits_before
    for candidate in _SHARES:
        assign(variables, _mixed(before, after, candidate))
        received = cut.logits(validation)
        loss, divisor = best_temperature(head, validation, received)
        if hits(received) >= least and loss < lowest:
            lowest, share, temperature, logits = loss, candidate, divisor, received
    assign(variables, _mixed(before, after, share))
    if temperature != 1:
        layer = cut.model.keras_model.get_layer(cut.model.spec.logits_layer)
        layer.set_weights([weight / np.float32(temperature) for weight in layer.get_weights()])
        logits = logits / np.float32(temperature)
    return logits, share


def _mixed(before: list[np.ndarray], after: list[np.ndarray], share: float) -> list[np.ndarray]:
    if share in (0.0, 1.0):  # bit for bit
        return after if share else before
    return [(1 - share) * old + share * new for old, new in zip(before, after, strict=True)]


def best_temperature(head: HeadSpec, split: Split, logits: np.ndarray) -> tuple[float, float]:
    """Find the lowest loss a head can have by dividing its logits by one number.

    Args:
        head: names the task; numbers are left as they are.
        split: has the labels.
        logits: shape (num_examples, num_outputs).

    Returns:
        The loss and the number, 1 where no other is better.
    """
    loss = head_loss(head)
    plain = float(loss(split.labels, logits))
    known = split.targets[0].known
    if head.task == "regression" or not known.any() or not np.isfinite(logits).all():
        return plain, 1.0
    temperature = fit_temperature(logits[known], split.labels[known], head.task)
    cooled = float(loss(split.labels, logits / np.float32(temperature)))
    return (cooled, temperature) if cooled < plain else (plain, 1.0)
