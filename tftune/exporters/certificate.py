"""Comparing an export's answers with the Keras model's on held-out examples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tftune.builders.transfer_model import TransferModel
from tftune.data.dataset import Split
from tftune.errors import ExportError
from tftune.evaluation.evaluate import check_classes, predict_split
from tftune.results.export import Certificate

Runner = Callable[[Split], np.ndarray]
"""Runs an export over a split; returns probabilities, shape (num_examples, num_classes)."""


def certify(
    model: TransferModel, split: Split, run: Runner, runtime: str, tolerance: float
) -> Certificate:
    """Give the same examples to the Keras model and to its export.

    Args:
        model: the Keras side.
        split: held-out examples.
        run: runs the export, in its real runtime.
        runtime: names that runtime and its version.
        tolerance: the largest difference of a probability that is allowed.

    Returns:
        The certificate.

    Raises:
        DataError: if the split's classes are not the model's.
        ExportError: if the export differs by more than the tolerance.
    """
    check_classes(model, split)
    expected = predict_split(model, split)
    received = run(split)
    difference = np.abs(expected.astype(np.float64) - received)
    certificate = Certificate(
        runtime=runtime,
        num_examples=len(split),
        max_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        label_agreement=float(np.mean(expected.argmax(1) == received.argmax(1))),
        accuracy_before=float(np.mean(expected.argmax(1) == split.labels)),
        accuracy_after=float(np.mean(received.argmax(1) == split.labels)),
        tolerance=tolerance,
    )
    if not certificate.passed:
        raise ExportError(
            f"The export does not give the model's answers: on {len(split)} examples a probability "
            f"differs by {certificate.max_difference:.2e}, allowed is {tolerance:.0e}. "
            "Nothing was written."
        )
    return certificate
