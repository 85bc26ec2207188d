"""Training a head on features in memory: what `fine_tune` does in its first phase, without waiting.

The order of examples, the loss, the optimizer, the schedule, dropout's draws, the kept weights and
the start from a probe are those of `fine_tune`; what is left out is Keras' work around each batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tftune.config.phase import Phase
from tftune.data.targets import Target
from tftune.errors import NonFiniteLossError
from tftune.training.batches import epoch_order, examples_an_epoch
from tftune.training.callbacks import KeepBest, assign, copy_of
from tftune.training.optimizer import build_optimizer
from tftune.training.schedules import ReduceOnPlateau


class HeadTraining:
    """Trains one head, several times if there are folds; traced once.

    Args:
        top: from features to logits.
        phase: how to train; `batch_size` is a number.
        loss: what is minimised.
        target: what is learned, of the training split or of a fold.
    """

    def __init__(
        self, top: keras.Model, phase: Phase, loss: keras.losses.Loss, target: Target
    ) -> None:
        self.top = top
        self.phase = phase
        self.loss = loss
        shown = examples_an_epoch(len(target), target if phase.oversample else None)
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
        target: Target,
        held_out: tuple[np.ndarray, np.ndarray],
        seed: int,
        start: Sequence[np.ndarray] | None = None,
    ) -> np.ndarray:
        """Train from the beginning and keep the weights with the lowest held-out loss.

        Args:
            views: float32 features of each view of the examples, shape (num_examples,
                num_features); epochs see them in turn.
            target: what is to be learned about each example.
            held_out: features and labels that weights are judged by.
            seed: decides the order of examples.
            start: values for the weights to begin with; those the head was built with if None.

        Returns:
            The held-out logits under the kept weights, which the top then has.

        Raises:
            NonFiniteLossError: if the loss became NaN or infinite.
        """
        assign([*self.top.variables, *self._optimizer.variables], self._first)
        if start is not None:
            assign(self.top.weights, start)
        inputs, targets = [tf.constant(view) for view in views], tf.constant(target.labels)
        outside, held_out_labels = tf.constant(held_out[0]), held_out[1]
        lowest = self._loss_of(self._forward(outside), held_out_labels)
        best, plateau = self._watchers(lowest)
        repeated = target if self.phase.oversample else None
        for epoch in range(self.phase.epochs):
            order = tf.constant(epoch_order(len(target), seed, epoch, repeated))
            loss = float(self._epoch(inputs[epoch % len(inputs)], targets, order))
            if not math.isfinite(loss):
                raise NonFiniteLossError(
                    f"The training loss became {loss} in epoch {epoch + 1}, at learning rate "
                    f"{self.phase.learning_rate:.3g}."
                )
            best.on_test_begin()
            judged = {"val_loss": self._loss_of(self._forward(outside), held_out_labels)}
            best.on_test_end()
            best.on_epoch_end(epoch, judged)
            if plateau is not None:
                plateau.on_epoch_end(epoch, judged)
            if best.model.stop_training:
                break
        best.restore()
        return self._forward(outside).numpy()

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

    def _loss_of(self, logits: Any, labels: np.ndarray) -> float:
        return float(self.loss(labels, logits))

    def _run_epoch(self, features: tf.Tensor, labels: tf.Tensor, order: tf.Tensor) -> tf.Tensor:
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
                loss = self.loss(tf.gather(labels, chosen), logits)
            gradients = tape.gradient(loss, [variable.value for variable in variables])
            self._optimizer.apply(gradients, variables)
            return index + 1, total + loss

        _, total = tf.while_loop(
            lambda index, total: index < steps, step, (tf.constant(0), tf.constant(0.0))
        )
        return total / tf.cast(steps, tf.float32)
