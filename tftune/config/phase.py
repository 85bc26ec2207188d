"""One stretch of training: what trains, for how long, at which rates."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tftune.errors import ConfigError, check_choice

OPTIMIZERS = tuple(
    "adamw adam sgd rmsprop nadam adamax adagrad adadelta adafactor lion lamb ftrl muon".split()
)
SCHEDULES = ("warmup_cosine", "constant", "one_cycle", "reduce_on_plateau")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
REGRESSION_LOSSES = ("squared_error", "huber")
CLASS_WEIGHTS = ("balanced", "square_root")
PHASE_NAMES = ("feature_extraction", "fine_tuning")
CONTRASTIVE = "contrastive"

Unfreeze = str | int | float
"""What of the backbone trains: "none", "all", a number of top stages, a share of its
parameters in (0, 1), or the name of the lowest stage to unfreeze."""


@dataclass(frozen=True)
class Phase:
    """One stretch of training with a fixed set of trainable layers.

    Attributes:
        name: "feature_extraction", "fine_tuning", or "contrastive", which teaches the encoder which
            texts are of one class and then starts the head from a probe; it takes epochs, rate,
            batches, optimizer, `layer_decay` and `interpolate`, but no losses and no `patience`.
        unfreeze: what of the backbone trains; see `Unfreeze`.
        epochs: passes over the training split, at most.
        learning_rate: the peak of the schedule.
        batch_size: examples a step; "auto" takes a large one and halves it when memory runs out.
        optimizer: the name of a Keras optimizer ("sgd" has momentum 0.9), or a Keras config:
            `{"class_name": "SGD", "config": {"nesterov": True, "momentum": 0.9}}`. Rate, weight
            decay, clipping and averaging always come from the phase.
        schedule: "warmup_cosine" (linear rise over `warm_up`, then a cosine to zero), "constant",
            "one_cycle" (cosine up from a 25th over three tenths of the steps, then down to a
            10,000th) or "reduce_on_plateau" (divided by three after two epochs without a better
            validation loss).
        warm_up: share of the steps in which "warmup_cosine" rises, in [0, 1).
        weight_decay: decoupled weight decay, applied by every optimizer.
        layer_decay: the learning rate of the head's neighbour stage over the head's, of the next
            stage over that one's, and so on down; in (0, 1].
        clip_norm: the gradients' common norm is cut to this; 0 leaves it.
        label_smoothing: share of the probability spread over all classes, in [0, 1).
        ema: momentum of the weights' moving average, which is then what is validated and kept;
            0 keeps the weights themselves.
        l2_sp: strength of the pull towards the weights a backbone layer started the run with; 0
            does not pull.
        class_weights: "balanced" weighs classes by the inverse of their frequency, "square_root"
            by the square root of that; a mapping gives weights by class name (1 where it is
            silent); None weighs all examples alike. For several heads a mapping gives any of these
            by head name.
        oversample: show rare classes as often as the largest: an epoch repeats their examples. For
            one head with one class an example. Validation stays as it is.
        focal_gamma: how strongly examples that are already classified well are played down; 0 does
            not, 2 is usual.
        regression_loss: "squared_error", or "huber", which is linear beyond one standard deviation
            and so bears outliers.
        head_weights: what the loss of each of several heads is multiplied by before all are
            summed, by head name (1 where it is silent).
        precision: "float32", or "mixed_bfloat16" or "mixed_float16" to compute in half precision
            with float32 weights.
        patience: epochs without a better validation loss before the phase ends; 0 never does.
        start_from_probe: initialise the head with a logistic regression on the cached features.
        interpolate: end with the mix of the weights before and after the phase that validates
            best, so that the phase cannot make validation worse. Without `patience` it is those
            after the last epoch that are mixed, not those with the lowest validation loss.

    References:
        l2_sp: Li et al. 2018, https://arxiv.org/abs/1802.01483. interpolate: Wortsman et al. 2022,
        https://arxiv.org/abs/2109.01903. one_cycle: Smith and Topin 2019,
        https://arxiv.org/abs/1708.07120. focal_gamma: Lin et al. 2017,
        https://arxiv.org/abs/1708.02002.
    """

    name: str
    unfreeze: Unfreeze
    epochs: int
    learning_rate: float
    batch_size: int | str = 32
    optimizer: str | Mapping[str, Any] = "adamw"
    schedule: str = "warmup_cosine"
    warm_up: float = 0.1
    weight_decay: float = 1e-4
    layer_decay: float = 1.0
    clip_norm: float = 0.0
    label_smoothing: float = 0.0
    ema: float = 0.0
    l2_sp: float = 0.0
    class_weights: str | Mapping[str, Any] | None = None
    oversample: bool = False
    focal_gamma: float = 0.0
    regression_loss: str = "squared_error"
    head_weights: Mapping[str, float] | None = None
    precision: str = "float32"
    patience: int = 0
    start_from_probe: bool = False
    interpolate: bool = False

    def __post_init__(self) -> None:
        problems = []
        choices: list[tuple[str, object, Iterable[str]]] = [
            ("name", self.name, (*PHASE_NAMES, CONTRASTIVE)),
            ("schedule", self.schedule, SCHEDULES),
            ("precision", self.precision, PRECISIONS),
            ("regression_loss", self.regression_loss, REGRESSION_LOSSES),
        ]
        if isinstance(self.optimizer, str):
            choices.append(("optimizer", self.optimizer, OPTIMIZERS))
        elif not isinstance(self.optimizer, Mapping) or "class_name" not in self.optimizer:
            problems.append(
                "`optimizer` must be a name or a Keras config with a 'class_name'. "
                f"Received: {self.optimizer!r}."
            )
        for weights in _leaves(self.class_weights):
            if isinstance(weights, str):
                choices.append(("class_weights", weights, CLASS_WEIGHTS))
        if isinstance(self.batch_size, str):
            choices.append(("batch_size", self.batch_size, ("auto",)))
        for argument, received, valid in choices:
            try:
                check_choice(argument, received, valid)
            except ConfigError as error:
                problems.append(str(error))
        problems.extend(self._numbers_out_of_range())
        if problems:
            raise ConfigError(" ".join(problems))

    def _numbers_out_of_range(self) -> list[str]:
        problems = []
        for argument, lowest in (
            ("epochs", 0),
            ("batch_size", 1),
            ("weight_decay", 0),
            ("clip_norm", 0),
            ("l2_sp", 0),
            ("focal_gamma", 0),
            ("patience", 0),
        ):
            value = getattr(self, argument)
            if not isinstance(value, str) and not value >= lowest:  # also refuses NaN
                problems.append(f"`{argument}` must be at least {lowest}. Received: {value!r}.")
        for argument in ("warm_up", "label_smoothing", "ema"):
            value = getattr(self, argument)
            if not 0 <= value < 1:
                problems.append(f"`{argument}` must be in [0, 1). Received: {value!r}.")
        if not 0 < self.layer_decay <= 1:
            problems.append(f"`layer_decay` must be in (0, 1]. Received: {self.layer_decay!r}.")
        if not self.learning_rate > 0:
            problems.append(f"`learning_rate` must be above 0. Received: {self.learning_rate!r}.")
        for argument in ("class_weights", "head_weights"):
            value = getattr(self, argument)
            if not all(isinstance(w, str) or w >= 0 for w in _leaves(value)):
                problems.append(f"`{argument}` must be at least 0. Received: {value!r}.")
        return problems

    def replace(self, **changes: Any) -> Phase:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    @property
    def optimizer_name(self) -> str:
        """The optimizer's name, also where a whole config was given."""
        if isinstance(self.optimizer, str):
            return self.optimizer
        return str(self.optimizer["class_name"]).lower()


def _leaves(value: Any) -> Iterator[Any]:
    """Yield what a mapping of mappings holds; None holds nothing."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif value is not None:
        yield value
