"""What is put on top of a backbone."""

from __future__ import annotations

import keras

POOLED = "pooled"
LOGITS = "logits"
PROBABILITIES = "probabilities"


def attach_head(
    features: keras.KerasTensor, num_classes: int, dropout: float = 0.2
) -> keras.KerasTensor:
    """Pool the feature map and classify it.

    Args:
        features: the backbone's output, shape (batch, height, width, channels).
        num_classes: how many logits.
        dropout: share of pooled features dropped in training.

    Returns:
        Probabilities, shape (batch, num_classes), each row summing to 1. The layers on the way
        are named "pooled", "dropout", "logits" and "probabilities".
    """
    pooled = keras.layers.GlobalAveragePooling2D(name=POOLED)(features)
    dropped = keras.layers.Dropout(dropout, name="head_dropout")(pooled)
    logits = keras.layers.Dense(num_classes, name=LOGITS)(dropped)
    return keras.layers.Softmax(name=PROBABILITIES, dtype="float32")(logits)
