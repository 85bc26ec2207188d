"""From a trial's settings to a plan and a head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tftune.builders.new_head import head_settings
from tftune.builders.transfer_model import TransferModel
from tftune.config.plan import Plan
from tftune.data.dataset import Dataset
from tftune.training.plan import stages_of
from tftune.training.view_rule import choose_views


def head_of(model: TransferModel, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the head that settings ask for, as `with_head` takes it."""
    asked = _owned("head", settings)
    if "hidden" in asked:
        asked["hidden"] = tuple(asked["hidden"])
    return {**head_settings(model), **asked}


def plan_of(
    model: TransferModel, data: Dataset, base: Plan, settings: Mapping[str, Any], phases: int
) -> Plan:
    """Return the plan that settings ask for.

    Args:
        model: what the plan is for.
        data: what it will be trained on.
        base: says what the settings do not.
        settings: values by dotted name, as `SearchSpace.settings` returns them.
        phases: how many phases of `base` the plan has.
    """
    chosen = [phase.replace(**_owned(phase.name, settings)) for phase in base.phases[:phases]]
    whole = _owned("plan", settings)
    if whole.get("augment", "none") != "none" and "views" not in whole:
        whole["views"] = choose_views(model, data, chosen, whole["augment"], None, "disk").views
    return base.replace(
        phases=tuple(chosen),
        stages=stages_of(model, chosen),
        reasons={"search": "settings that did best in a search"},
        **whole,
    )


def _owned(owner: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    prefix = f"{owner}."
    return {
        name.removeprefix(prefix): value
        for name, value in settings.items()
        if name.startswith(prefix)
    }
