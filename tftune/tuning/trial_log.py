"""Trials for TensorBoard's HParams page: a run a trial, with its settings and figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf


class TrialLog:
    """Writes every trial once.

    Args:
        folder: where the logs go, `tensorboard --logdir` shows them; None writes nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def add(self, name: str, settings: Mapping[str, Any], record: Mapping[str, Any]) -> None:
        """Log a trial, unless that was done before."""
        figures = record.get("figures")
        if self._folder is None or not figures or (self._folder / name).exists():
            return
        from tensorboard.plugins.hparams import api

        writer = tf.summary.create_file_writer(str(self._folder / name))
        with writer.as_default():
            api.hparams(dict(settings), trial_id=name)
            for figure, value in {**figures, "seconds": record["seconds"]}.items():
                tf.summary.scalar(figure, value, step=0)
        writer.close()
