"""Plans beyond the default one."""

from __future__ import annotations

from typing import Any

from tftune.builders.transfer_model import TransferModel
from tftune.config.plan import Plan
from tftune.data.dataset import Dataset
from tftune.errors import ConfigError
from tftune.training.estimate import estimate_costs
from tftune.training.plan import default_unfreeze, stages_of
from tftune.training.plan import plan as two_phases


def gradual(
    model: TransferModel,
    data: Dataset,
    *,
    steps: int = 3,
    unfreeze: int | None = None,
    epochs: int = 3,
    rate_factor: float = 0.5,
    **settings: Any,
) -> Plan:
    """Plan gradual unfreezing: the head, then ever more stages from the top, at ever lower rates.

    Args:
        model: what to train.
        data: what to train it on.
        steps: how many phases of fine-tuning.
        unfreeze: how many top stages the last of them trains; by default what `tftune.plan` would.
        epochs: of each phase of fine-tuning.
        rate_factor: each phase's rate over that of the phase before, in (0, 1].
        settings: as for `tftune.plan`, but for `fine_tune_epochs`.

    Returns:
        A plan of at most 1 + `steps` phases, fewer where there are fewer stages.

    Raises:
        ConfigError: if a setting is invalid.

    References:
        Howard and Ruder 2018, https://arxiv.org/abs/1801.06146, section 3.3.
    """
    if steps < 1 or epochs < 1 or not 0 < rate_factor <= 1:
        raise ConfigError(
            "`steps` and `epochs` must be at least 1 and `rate_factor` in (0, 1]. "
            f"Received: {steps}, {epochs}, {rate_factor}."
        )
    most = default_unfreeze(model) if unfreeze is None else unfreeze
    estimate = settings.pop("estimate", True)
    settings = {**settings, "fine_tune_epochs": epochs, "estimate": False}
    plan = two_phases(model, data, unfreeze=most, **settings)
    head, top = plan.phases
    counts = sorted({max(1, round(most * step / steps)) for step in range(1, steps + 1)})
    phases = [head] + [
        top.replace(unfreeze=count, learning_rate=top.learning_rate * rate_factor**place)
        for place, count in enumerate(counts)
    ]
    reasons = {**plan.reasons, "unfreeze": f"gradually, up to the {most} top stages"}
    plan = plan.replace(phases=tuple(phases), stages=stages_of(model, phases), reasons=reasons)
    return plan.replace(costs=estimate_costs(model, data, plan)) if estimate else plan
