"""Mixing the weights before and after a phase, and keeping the mix that validates best."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tftune.builders.heads import by_head
from tftune.config.model_spec import TAGS, HeadSpec
from tftune.data.dataset import Split
from tftune.evaluation.temperature import fit_temperature
from tftune.training.boundary import CutModel
from tftune.training.callbacks import assign, copy_of
from tftune.training.objective import Objective

_SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)


def best_mix(
    cut: CutModel,
    validation: Split,
    before: list[np.ndarray],
    logits_before: Any,
    objective: Objective,
) -> tuple[Any, float]:
    """Set the weights to the best mix of those before the phase and those it ended with.

    A mix is taken only if every head of classes is no less accurate on validation than with the
    weights before, and if it has the lowest loss, so the phase cannot make validation worse. Each
    is judged at the temperatures that suit it best, which the chosen mix gets: fine-tuning on few
    images makes a model surer of all its answers, the wrong ones too. That costs more cross-entropy
    than better features save, and dividing the logits by one number undoes it.

    Args:
        cut: its top holds the weights after the phase.
        validation: what the mixes are judged on.
        before: the values of the top's trainable variables before the phase.
        logits_before: the validation logits under those.
        objective: whose loss chooses.

    Returns:
        The validation logits under the mix, and its share of the weights after the phase.

    References:
        Wortsman et al. 2022, https://arxiv.org/abs/2109.01903.
    """
    variables = list(cut.top.trainable_variables)
    after = copy_of(variables)
    least = _hits(objective, validation, logits_before)
    lowest, _ = best_temperatures(objective, validation, logits_before)
    share, temperatures, logits = 0.0, {}, logits_before
    for candidate in _SHARES:
        assign(variables, _mixed(before, after, candidate))
        received = cut.logits(validation)
        loss, divisors = best_temperatures(objective, validation, received)
        if (_hits(objective, validation, received) >= least).all() and loss < lowest:
            lowest, share, temperatures, logits = loss, candidate, divisors, received
    assign(variables, _mixed(before, after, share))
    return _cooled(cut, objective, logits, temperatures), share


def _mixed(before: list[np.ndarray], after: list[np.ndarray], share: float) -> list[np.ndarray]:
    if share in (0.0, 1.0):  # bit for bit
        return after if share else before
    return [(1 - share) * old + share * new for old, new in zip(before, after, strict=True)]


def _cooled(
    cut: CutModel, objective: Objective, logits: Any, temperatures: Mapping[str, float]
) -> Any:
    """Divide the logits layers' weights by temperatures, and return logits divided so."""
    if not temperatures:
        return logits
    rows = dict(by_head(objective.heads, logits))
    for head in objective.heads:
        if head.name in temperatures:
            divisor = np.float32(temperatures[head.name])
            layer = cut.model.keras_model.get_layer(head.logits_layer)
            layer.set_weights([weight / divisor for weight in layer.get_weights()])
            rows[head.name] = rows[head.name] / divisor
    return rows if len(objective.heads) > 1 else rows[objective.heads[0].name]


def best_temperatures(
    objective: Objective, split: Split, logits: Any
) -> tuple[float, dict[str, float]]:
    """Find the lowest loss there can be by dividing each head's logits by one number.

    Args:
        objective: the loss; numbers are left as they are, and so are classes on a scale, whose
            logits are probabilities already.
        split: has the labels.
        logits: shape (num_examples, num_outputs); for several heads, by head name.

    Returns:
        The loss, and by head name the numbers other than 1 that lower it.
    """
    total = 0.0
    temperatures = {}
    for head, target in zip(objective.heads, split.targets, strict=True):
        rows = by_head(objective.heads, logits)[head.name]
        loss = objective.losses[head.name]
        lowest = float(loss(target.labels, rows))
        if _can_cool(head) and target.known.any() and np.isfinite(rows).all():
            found = fit_temperature(rows[target.known], target.labels[target.known], head.task)
            cooled = float(loss(target.labels, rows / np.float32(found)))
            if cooled < lowest:
                lowest, temperatures[head.name] = cooled, found
        total += objective.weights[head.name] * lowest
    return total, temperatures


def _can_cool(head: HeadSpec) -> bool:
    return head.task not in ("regression", TAGS) and not head.ordered


def _hits(objective: Objective, split: Split, logits: Any) -> np.ndarray:
    """Sum what right answers weigh, for every multiclass head, shape (num_such_heads,)."""
    sums = []
    for head, target in zip(objective.heads, split.targets, strict=True):
        if head.task == "multiclass":
            right = by_head(objective.heads, logits)[head.name].argmax(axis=1) == target.labels
            weights = objective.losses[head.name].class_weights or (1.0,) * len(head.class_names)
            sums.append(np.array(weights)[target.labels[right]].sum())
    return np.array(sums)
