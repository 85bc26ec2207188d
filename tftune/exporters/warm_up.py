"""Warm-up requests: what TF Serving replays before it takes a new version into service."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from tftune.errors import ConfigError

WARM_UP_FILE = "tf_serving_warmup_requests"
MAX_RECORDS = 1000
"""TF Serving's own limit; it refuses a file with more."""


def write_warm_up(
    version: Path, model_name: str, encoded: Sequence[bytes], key: str = "image_bytes"
) -> int:
    """Write warm-up requests of real encoded images or texts into a version folder.

    The first asks for one of them, the last for all of them at once, so that both a single request
    and a full batch have been traced and allocated when traffic comes.

    Args:
        version: the version folder; `assets.extra` is made inside it.
        model_name: the name the server will know the model by.
        encoded: image files' contents, or texts; at most 16 are used.
        key: the signature's input.

    Returns:
        How many records were written.

    Raises:
        ConfigError: if tensorflow-serving-api is not installed.
    """
    check_serving_api()
    from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

    chosen = list(encoded)[:16]
    requests = [[example] for example in chosen] + [chosen]
    folder = version / "assets.extra"
    folder.mkdir(parents=True, exist_ok=True)
    # A plain TFRecord: TF Serving does not read compressed ones.
    with tf.io.TFRecordWriter(str(folder / WARM_UP_FILE)) as writer:
        for examples in requests:
            request = predict_pb2.PredictRequest(
                model_spec=model_pb2.ModelSpec(name=model_name, signature_name="serving_default"),
                inputs={key: tf.make_tensor_proto(examples, shape=[len(examples)])},
            )
            log = prediction_log_pb2.PredictLog(request=request)
            record = prediction_log_pb2.PredictionLog(predict_log=log)
            writer.write(record.SerializeToString())
    return len(requests)


def check_serving_api() -> None:
    """Raise ConfigError unless tensorflow-serving-api is installed."""
    import importlib.util

    if importlib.util.find_spec("tensorflow_serving") is None:
        raise ConfigError(
            "A serving bundle needs the package tensorflow-serving-api. "
            "Install it with `pip install 'tftune[serving]'`."
        )
