"""The loss a head is trained with, and the figure shown beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from tftune.config.model_spec import TAGS, HeadSpec
from tftune.config.phase import REGRESSION_LOSSES
from tftune.errors import ConfigError, check_choice


def head_loss(
    head: HeadSpec,
    *,
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
    class_weights: Sequence[float] | None = None,
    regression: str = "squared_error",
) -> keras.losses.Loss:
    """Return the loss between a head's logits and its labels.

    It is the mean over the labels that are known: examples and words labelled -1 and entries
    that are NaN count nothing.

    Args:
        head: names the task.
        label_smoothing: share of the probability spread over all classes (multilabel: over yes and
            no), in [0, 1).
        focal_gamma: how strongly well-classified examples are played down; 0 does not.
        class_weights: one a class; what an example of the class (multilabel: a "yes" for it)
            weighs.
        regression: "squared_error" or "huber" (linear beyond one standard deviation).

    Returns:
        A Keras loss that takes logits.

    Raises:
        ConfigError: if an argument is out of range or does not fit the task.

    References:
        label_smoothing: Szegedy et al. 2016, https://arxiv.org/abs/1512.00567, section 7.
        focal_gamma: Lin et al. 2017, https://arxiv.org/abs/1708.02002.
    """
    problems = []
    if not 0 <= label_smoothing < 1:
        problems.append(f"`label_smoothing` must be in [0, 1). Received: {label_smoothing!r}.")
    if not focal_gamma >= 0:
        problems.append(f"`focal_gamma` must be at least 0. Received: {focal_gamma!r}.")
    if class_weights is not None and len(class_weights) != len(head.class_names):
        problems.append(
            f"`class_weights` must have one weight for each of {len(head.class_names)} classes. "
            f"Received: {len(class_weights)}."
        )
    for name, given in (
        ("label_smoothing", label_smoothing),
        ("focal_gamma", focal_gamma),
        ("class_weights", class_weights is not None),
    ):
        if head.task == "regression" and given:
            problems.append(f"`{name}` is for classes. Received it for a regression head.")
    if problems:
        raise ConfigError(" ".join(problems))
    check_choice("regression", regression, REGRESSION_LOSSES)
    if head.task == "regression":
        return RegressionLoss(head.offset, head.scale, regression)
    loss = {"multiclass": MulticlassLoss, TAGS: TagLoss}.get(head.task, MultilabelLoss)
    return loss(label_smoothing, focal_gamma, class_weights)


def head_metric(head: HeadSpec) -> keras.metrics.Metric:
    """Return the figure to show beside a head's loss while it trains.

    Returns:
        "accuracy": the share of known labels that the logits get right; for regression "error":
        the mean absolute error, in standard deviations of the target.
    """
    if head.task == "regression":
        error = RegressionLoss(head.offset, head.scale, "absolute_error")
        return KnownMean(error.entries, "error")
    measures = {"multiclass": _right_classes, TAGS: _right_tags}
    return KnownMean(measures.get(head.task, _right_labels), "accuracy")


class KnownMean(keras.metrics.Mean):
    """The mean over all known labels of an epoch, however they fall into steps.

    Args:
        measure: from labels and logits to values and a mask of what is known, of one shape.
        name: the figure's name.
    """

    def __init__(self, measure: Callable[[Any, Any], tuple[Any, Any]], name: str) -> None:
        super().__init__(name=name)
        self._measure = measure

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a step's values."""
        values, known = self._measure(y_true, y_pred)
        super().update_state(values, ops.cast(known, values.dtype))


class _ClassLoss(keras.losses.Loss):
    def __init__(
        self,
        label_smoothing: float = 0.0,
        focal_gamma: float = 0.0,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(name="loss")
        self.label_smoothing = label_smoothing
        self.focal_gamma = focal_gamma
        self.class_weights = None if class_weights is None else tuple(class_weights)


class MulticlassLoss(_ClassLoss):
    """Cross-entropy between logits and class numbers, in nats; see `head_loss`."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return one loss an example from labels (or shares of classes) and logits."""
        if _are_shares(y_true, y_pred):
            return self._of_shares(ops.cast(y_true, y_pred.dtype), y_pred)
        labels, known = _class_numbers(y_true)
        losses = hard = ops.sparse_categorical_crossentropy(labels, y_pred, from_logits=True)
        if self.label_smoothing:
            of_all = -ops.mean(ops.log_softmax(y_pred), axis=-1)
            losses = (1 - self.label_smoothing) * hard + self.label_smoothing * of_all
        if self.focal_gamma:
            losses = losses * _focal(hard, self.focal_gamma)
        if self.class_weights is not None:
            losses = losses * ops.take(ops.convert_to_tensor(self.class_weights), labels)
        return losses * _of_known(known)

    def _of_shares(self, shares: Any, y_pred: Any) -> Any:
        """Return the losses of blended examples: those of their parts, by their shares."""
        of_each = -ops.log_softmax(y_pred)
        losses = of_each
        if self.label_smoothing:
            of_all = ops.mean(of_each, axis=-1, keepdims=True)
            losses = (1 - self.label_smoothing) * of_each + self.label_smoothing * of_all
        if self.focal_gamma:
            losses = losses * _focal(of_each, self.focal_gamma)
        if self.class_weights is not None:
            losses = losses * ops.convert_to_tensor(self.class_weights)
        # An unknown label is no class at all, so its shares sum to less than 1.
        return ops.sum(shares * losses, axis=-1)


class TagLoss(MulticlassLoss):
    """The mean of `MulticlassLoss` over all words of a batch that are known and were read."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return one loss an example, from tags of words, shape (batch, words), and logits."""
        labels, logits = _aligned(y_true, y_pred)
        losses = super().call(
            ops.reshape(labels, (-1,)), ops.reshape(logits, (-1, y_pred.shape[-1]))
        )
        return ops.mean(ops.reshape(losses, ops.shape(labels)), axis=-1)


class MultilabelLoss(_ClassLoss):
    """Binary cross-entropy between logits and yes-or-no labels, in nats; see `head_loss`."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return one loss an example, the mean over its classes, from labels and logits."""
        labels, known = _yes_or_no(y_true)
        # -log sigmoid(x) = softplus(-x) and -log(1 - sigmoid(x)) = softplus(x) never overflow.
        of_yes, of_no = ops.softplus(-y_pred), ops.softplus(y_pred)
        soft = labels * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
        losses = soft * of_yes + (1 - soft) * of_no
        if self.focal_gamma:
            losses = losses * _focal(labels * of_yes + (1 - labels) * of_no, self.focal_gamma)
        if self.class_weights is not None:
            losses = losses * (1 + labels * (ops.convert_to_tensor(self.class_weights) - 1))
        return ops.mean(losses * _of_known(known), axis=-1)


class RegressionLoss(keras.losses.Loss):
    """Error between a head's scaled values and the targets in their own units; see `head_loss`."""

    def __init__(self, offset: Sequence[float], scale: Sequence[float], kind: str) -> None:
        super().__init__(name=kind)
        self.offset = tuple(offset)
        self.scale = tuple(scale)
        self.kind = kind

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return one loss an example, the mean over its quantities, in scaled units."""
        losses, known = self.entries(y_true, y_pred)
        return ops.mean(losses * _of_known(known), axis=-1)

    def entries(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        """Return the loss of each quantity of each example, and which are known."""
        y_true = ops.reshape(ops.cast(y_true, y_pred.dtype), ops.shape(y_pred))
        known = ops.isfinite(y_true)
        scaled = (y_true - ops.convert_to_tensor(self.offset)) / ops.convert_to_tensor(self.scale)
        error = y_pred - ops.where(known, scaled, ops.zeros_like(scaled))
        size = ops.abs(error)
        if self.kind == "absolute_error":
            losses = size
        elif self.kind == "huber":
            losses = ops.where(size <= 1, 0.5 * error * error, size - 0.5)
        else:
            losses = error * error
        return losses, known


def _are_shares(y_true: Any, y_pred: Any) -> bool:
    return len(y_true.shape) == 2 and y_true.shape[-1] == y_pred.shape[-1]


def _class_numbers(y_true: Any) -> tuple[Any, Any]:
    labels = ops.cast(ops.reshape(y_true, (-1,)), "int32")
    return ops.maximum(labels, 0), labels >= 0


def _yes_or_no(y_true: Any) -> tuple[Any, Any]:
    labels = ops.cast(y_true, "float32")
    known = ops.isfinite(labels) & (labels >= 0)
    return ops.where(known, labels, ops.zeros_like(labels)), known


def _of_known(known: Any) -> Any:
    """Weigh known entries so that the mean over all is the mean over the known ones."""
    ones = ops.cast(known, "float32")
    # Where everything is known this is exactly 1.
    return ones * (ops.cast(ops.size(ones), "float32") / ops.maximum(ops.sum(ones), 1.0))


def _focal(cross_entropy: Any, gamma: float) -> Any:
    # At 0 a power below 1 has no finite slope.
    return ops.power(ops.maximum(1 - ops.exp(-cross_entropy), 1e-7), gamma)


def _right_classes(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    labels, known = _class_numbers(
        ops.argmax(y_true, -1) if _are_shares(y_true, y_pred) else y_true
    )
    return ops.cast(ops.equal(ops.cast(ops.argmax(y_pred, -1), "int32"), labels), "float32"), known


def _right_tags(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    labels, logits = _aligned(y_true, y_pred)
    labels = ops.cast(labels, "int32")
    right = ops.equal(ops.cast(ops.argmax(logits, -1), "int32"), labels)
    return ops.cast(right, "float32"), labels >= 0


def _aligned(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Cut tags and logits to as many words as both have."""
    words = min(y_true.shape[1], y_pred.shape[1])
    return y_true[:, :words], y_pred[:, :words]


def _right_labels(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    labels, known = _yes_or_no(y_true)
    return ops.cast(ops.equal(y_pred > 0, labels > 0.5), "float32"), known
