"""The epochs of a phase, from wherever an earlier process left them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from tftune.training.callbacks import Journal


def fit_epochs(
    network: keras.Model,
    epochs: int,
    steps: int,
    journal: Journal,
    batches: Callable[[tuple[int, int]], tf.data.Dataset],
    callbacks: Sequence[keras.callbacks.Callback],
    validation: tf.data.Dataset | None = None,
    ended: Callable[[], bool] = lambda: False,
) -> None:
    """Fit a compiled network until its epochs are done or it was stopped.

    Args:
        network: trained in place.
        epochs: how many there are in all, those before the journal's place among them.
        steps: of a whole epoch.
        journal: knows the place, and whether a callback stopped training; one of `callbacks`.
        batches: gives the training batches from an (epoch, step) on.
        callbacks: of Keras.
        validation: what to validate on after each epoch.
        ended: whether to leave off before all epochs are done.
    """
    while journal.epoch < epochs and not journal.stopped and not ended():
        epoch, step = journal.epoch, journal.step
        network._initial_epoch = None  # what an earlier `fit` left would skip epochs
        network.fit(
            batches((epoch, step)),
            # The rest of an epoch has fewer steps than the whole ones after it.
            initial_epoch=epoch,
            epochs=epoch + 1 if step else epochs,
            steps_per_epoch=steps - step,
            validation_data=validation,
            shuffle=False,  # the batches come shuffled
            verbose=0,
            callbacks=callbacks,
        )
