"""Training a head on features in memory: what `fine_tune` does in its first phase, without waiting.

The order of examples, the loss, the optimizer, the schedule, dropout's draws, the kept weights and
the start from a probe are those of `fine_tune`; what is left out is Keras' work around each batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tftune.builders.heads import by_head
from tftune.config.phase import Phase
from tftune.data.targets import Target
from tftune.errors import NonFiniteLossError
from tftune.training.batches import epoch_order, examples_an_epoch
from tftune.training.callbacks import KeepBest, assign, copy_of
from tftune.training.objective import Objective
from tftune.training.optimizer import build_optimizer
from tftune.training.probe import Linear
from tftune.training.schedules import ReduceOnPlateau


class HeadTraining:
    """Trains the heads of one model, several times if there are folds; traced once.

    Args:
        top: from features to logits.
        phase: how to train; `batch_size` is a number.
        objective: what is minimised.
        targets: what is learned, of the training split or of a fold.
    """

    def __init__(
        self, top: keras.Model, phase: Phase, objective: Objective, targets: Sequence[Target]
    ) -> None:
        self.top = top
        self.phase = phase
        self.objective = objective
        shown = examples_an_epoch(len(targets[0]), targets[0] if phase.oversample else None)
        self._optimizer = build_optimizer(phase, math.ceil(shown / int(phase.batch_size)))
        self._optimizer.build(top.trainable_variables)
        self._first = copy_of([*top.variables, *self._optimizer.variables])
        # Without autograph: nothing here needs it, and it would rewrite the loss and the layers.
        self._epoch = tf.function(self._run_epoch, autograph=False)
        self._forward = tf.function(
            lambda features: top(features, training=False),
            autograph=False,
            input_signature=[tf.TensorSpec((None, top.input_shape[1]), tf.float32)],
        )

    def fit(
        self,
        views: Sequence[np.ndarray],
        targets: Sequence[Target],
        held_out: tuple[np.ndarray, Sequence[Target]],
        seed: int,
        start: Mapping[str, Linear],
    ) -> Mapping[str, np.ndarray]:
        """Train from the beginning and keep the weights with the lowest held-out loss.

        Args:
            views: float32 features of each view of the examples, shape (num_examples,
                num_features); epochs see them in turn.
            targets: what is to be learned about each example, a target a head.
            held_out: features and targets that weights are judged by.
            seed: decides the order of examples.
            start: kernel and bias that layers begin with, by name; the others begin as they were
                built.

        Returns:
            The held-out logits under the kept weights, which the top then has, by head name.

        Raises:
            NonFiniteLossError: if the loss became NaN or infinite.
        """
        assign([*self.top.variables, *self._optimizer.variables], self._first)
        for name, values in start.items():
            self.top.get_layer(name).set_weights(values)
        inputs = [tf.constant(view) for view in views]
        labels = {name: tf.constant(values) for name, values in self._labels(targets).items()}
        outside, held_out_labels = tf.constant(held_out[0]), self._labels(held_out[1])
        lowest = float(self._loss_of(self._logits(outside), held_out_labels))
        best, plateau = self._watchers(lowest)
        repeated = targets[0] if self.phase.oversample else None
        for epoch in range(self.phase.epochs):
            order = tf.constant(epoch_order(len(targets[0]), seed, epoch, repeated))
            loss = float(self._epoch(inputs[epoch % len(inputs)], labels, order))
            if not math.isfinite(loss):
                raise NonFiniteLossError(
                    f"The training loss became {loss} in epoch {epoch + 1}, at learning rate "
                    f"{self.phase.learning_rate:.3g}."
                )
            best.on_test_begin()
            judged = {"val_loss": float(self._loss_of(self._logits(outside), held_out_labels))}
            best.on_test_end()
            best.on_epoch_end(epoch, judged)
            if plateau is not None:
                plateau.on_epoch_end(epoch, judged)
            if best.model.stop_training:
                break
        best.restore()
        return {name: rows.numpy() for name, rows in self._logits(outside).items()}

    def _labels(self, targets: Sequence[Target]) -> dict[str, np.ndarray]:
        pairs = zip(self.objective.heads, targets, strict=True)
        return {head.name: target.labels for head, target in pairs}

    def _logits(self, features: tf.Tensor) -> Mapping[str, tf.Tensor]:
        return by_head(self.objective.heads, self._forward(features))

    def _watchers(self, lowest: float) -> tuple[KeepBest, ReduceOnPlateau | None]:
        optimizer, phase = self._optimizer, self.phase
        averages = (lambda: optimizer._model_variables_moving_average) if phase.ema else None
        best = KeepBest(self.top.trainable_variables, lowest, phase.patience, averages)
        plateau = ReduceOnPlateau(lowest) if phase.schedule == "reduce_on_plateau" else None
        watched = SimpleNamespace(optimizer=optimizer, stop_training=False)
        for watcher in (best, plateau):
            if watcher is not None:
                watcher.set_model(watched)
        return best, plateau

    def _loss_of(self, logits: Mapping[str, Any], labels: Mapping[str, Any]) -> Any:
        """Return the weighted sum of the heads' losses."""
        losses, weights = self.objective.losses, self.objective.weights
        return sum(weights[name] * losses[name](labels[name], logits[name]) for name in losses)

    def _run_epoch(
        self, features: tf.Tensor, labels: Mapping[str, tf.Tensor], order: tf.Tensor
    ) -> tf.Tensor:
        """Take all steps of an epoch in one call.

        Returns:
            The mean of the steps' losses.
        """
        size = int(self.phase.batch_size)
        variables = self.top.trainable_variables
        steps = (tf.shape(order)[0] + size - 1) // size

        def step(index: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            chosen = order[index * size : (index + 1) * size]
            with tf.GradientTape() as tape:
                logits = self.top(tf.gather(features, chosen), training=True)
                shown = {name: tf.gather(column, chosen) for name, column in labels.items()}
                loss = self._loss_of(by_head(self.objective.heads, logits), shown)
            gradients = tape.gradient(loss, [variable.value for variable in variables])
            self._optimizer.apply(gradients, variables)
            return index + 1, total + loss

        _, total = tf.while_loop(
            lambda index, total: index < steps, step, (tf.constant(0), tf.constant(0.0))
        )
        return total / tf.cast(steps, tf.float32)
