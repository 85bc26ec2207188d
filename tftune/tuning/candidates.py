"""Which models a search compares, and whether what is asked of it makes sense."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tftune.builders.image_classifier import build_image_classifier
from tftune.builders.text_classifier import build_text_classifier
from tftune.builders.transfer_model import TransferModel
from tftune.config.model_spec import TAGS
from tftune.config.text_input import TextInput
from tftune.data.dataset import Dataset
from tftune.errors import ConfigError
from tftune.tuning.ranges import Choice, is_range
from tftune.tuning.search_space import SearchSpace


def candidates(
    model: TransferModel | Sequence[TransferModel], space: SearchSpace | None, data: Dataset
) -> tuple[dict[str, TransferModel], SearchSpace]:
    """Gather the models to compare, by the names of their backbones or encoders.

    Those that the space names and no given model has are built; the first given model stays first.

    Args:
        model: one or several.
        space: what may change; one that suits model and data if None.
        data: what the models are for.

    Returns:
        The models, and the space with the choice between them.

    Raises:
        ConfigError: if two models have the same backbone, one does not answer what others do, or
            one answers with tags of words.
    """
    models = [model] if isinstance(model, TransferModel) else list(model)
    found = {each.preset: each for each in models}
    if not models or len(found) < len(models):
        raise ConfigError(
            "`model` must be a model or several with different backbones. "
            f"Received: {[each.preset for each in models]}."
        )
    first = models[0]
    if any(head.task == TAGS for each in models for head in each.heads):
        raise ConfigError(
            "Tags of words cannot be searched for: trials train heads on one vector a text. Plan "
            "the training by `tftune.plan` instead."
        )
    space = space or SearchSpace.for_data(first, data)
    build: Callable[..., TransferModel] = build_image_classifier
    if isinstance(first.contract, TextInput):
        build = build_text_classifier
        if not set(space.possible("pooling")) <= {None, "average"}:
            raise ConfigError(
                "`pooling` cannot be searched for text encoders, which have their own. "
                f"Received: {space.pooling}."
            )
    named = [name for name in space.possible("backbone") if name is not None]
    found |= {name: build(name, data) for name in named if name not in found}
    if len(found) > 1 and space.backbone is None:
        space = space.replace(backbone=Choice(*found))
    return found, space


def check_search(space: SearchSpace, trials: int | None, oracle: str, workers: int) -> None:
    """Raise ConfigError, with all that is wrong, unless a search can begin."""
    problems = []
    if trials is None and oracle != "grid":
        problems.append("`trials` may be None only for a grid. Received: None.")
    if trials is not None and trials < 1:
        problems.append(f"`trials` must be at least 1. Received: {trials}.")
    if workers < 1:
        problems.append(f"`workers` must be at least 1. Received: {workers}.")
    if not space.ranges(fine_tuning=False):
        problems.append("`space` must leave something to search. Received: every value is pinned.")
    for name in ("head_epochs", "fine_tune_epochs"):
        if oracle == "hyperband" and is_range(getattr(space, name)):
            problems.append(
                f"`{name}` must be pinned for Hyperband, which chooses epochs itself. "
                f"Received: {getattr(space, name)}."
            )
    if problems:
        raise ConfigError(" ".join(problems))
