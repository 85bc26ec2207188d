"""What a phone is given of a model: its network, what describes it, and how it is run here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from tftune.builders.transfer_model import TransferModel
from tftune.config.model_spec import HeadSpec
from tftune.data.dataset import Split
from tftune.exporters.certificate import Answers
from tftune.exporters.description import SPEC_FILE, label_files, label_names, spec_text
from tftune.exporters.head_answers import answer_keys
from tftune.exporters.tflite_contents import TfliteContents
from tftune.exporters.tflite_metadata import OutputNotes


@dataclass(frozen=True)
class Traced:
    """A network ready to be converted.

    Attributes:
        function: a `tf.function` with the signature of the file's inputs; gives the heads' outputs
            as `keras_model` does.
        tracked: the layers and models that hold the variables, and nothing that phones lack.
    """

    function: Any
    tracked: tuple[Any, ...]


class PhoneModel(Protocol):
    """A model as a phone gets it."""

    model: TransferModel
    forms: tuple[str, ...]

    def traced(self) -> Traced:
        """Return the network to convert."""

    def described(self, content: bytes, name: str, form: str) -> bytes:
        """Put metadata, labels and the model's own description into a converted file."""

    def run(self, file: Path, split: Split) -> Answers:
        """Run a file over a split's original examples in LiteRT, twice."""

    def same_inputs(self, split: Split) -> np.ndarray | None:
        """Tell which examples reach the network as in training; None for all of them."""

    def tolerance(self, form: str) -> float | None:
        """Return the largest difference of a probability where the inputs are the same."""

    def notes(self, split: Split) -> list[str]:
        """Say what a reader of the certificate should know, one sentence each."""

    def inputs(self, form: str) -> str:
        """Write the inputs as a signature shows them."""


def named_outputs(heads: tuple[HeadSpec, ...], outputs: Any) -> dict[str, tf.Tensor]:
    """Name a network's outputs as an export does."""
    keys = answer_keys(heads)
    if len(keys) == 1:
        return dict.fromkeys(keys.values(), outputs)
    return {keys[name]: rows for name, rows in outputs.items()}


def output_notes(model: TransferModel, contents: TfliteContents) -> list[OutputNotes]:
    """Describe the outputs in the file's own order, which need not be the heads'."""
    keys, files = answer_keys(model.heads), label_names(model.heads)
    by_key = {keys[head.name]: head for head in model.heads}
    heads = [by_key[key] for key in contents.output_names] if len(by_key) > 1 else model.heads
    return [OutputNotes(head.name, _meaning(head), files[head.name]) for head in heads]


def packed_files(model: TransferModel) -> dict[str, str]:
    """Return the files that every export carries: labels and the model's own description."""
    return {**label_files(model.heads), SPEC_FILE: spec_text(model.spec)}


def described_as(model: TransferModel) -> str:
    """Say in a sentence what a file is."""
    told = ", ".join(f"{head.name} ({len(head.class_names)} outputs)" for head in model.heads)
    return f"{model.preset} with {told}, made by tftune."


def _meaning(head: HeadSpec) -> str:
    if head.task == "regression":
        return "The value of each quantity."
    return "The probability of each class."
