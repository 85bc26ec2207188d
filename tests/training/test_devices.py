"""Two devices train to the weights of one; what they cannot do is refused before training."""

import json
import os
import subprocess
import sys

import pytest
import tensorflow as tf

import tftune
from tftune.errors import ConfigError

# Two logical CPUs must be set up before TensorFlow starts, so this runs in a process of its own.
PROGRAM = """
import json, sys
import numpy as np, keras, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import tftune
from tftune.errors import ConfigError
from tftune.training.checkpoint import Checkpoints
Checkpoints.due = property(lambda self: self.folder is not None)

data = tftune.load_image_folder(sys.argv[1])
two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
head = tftune.Phase("feature_extraction", "none", 1, 1e-2, 6, start_from_probe=True)
top = tftune.Phase(
    "fine_tuning", 1, 3, 1e-3, 6, layer_decay=0.7, l2_sp=0.01, class_weights="balanced",
    label_smoothing=0.1,
)
plan = tftune.Plan((head, top), seed=3)

def stop_at(step):
    seen = []
    def stop(batch, logs):
        seen.append(batch)
        if len(seen) == step:
            raise KeyboardInterrupt
    return lambda: [keras.callbacks.LambdaCallback(on_train_batch_begin=stop)]

def run(strategy, plan=plan, **settings):
    keras.utils.set_random_seed(1)
    image = features = keras.Input((32, 32, 3))
    for filters in (8, 16, 16):
        features = keras.layers.Conv2D(filters, 3, strides=2, use_bias=False)(features)
        features = keras.layers.BatchNormalization()(features)
        features = keras.layers.ReLU()(features)
    backbone = keras.Model(image, features, name="tiny")
    model = tftune.build_image_classifier(backbone, data, preprocessing="unit", dropout=0.0)
    done = tftune.fine_tune(model, data, plan, strategy=strategy, verbose=False, **settings)
    return done.history, model.keras_model.get_weights()

def difference(ours, theirs):
    return float(max(np.abs(a - b).max() for a, b in zip(ours, theirs)))

history, one = run(None)
mirrored_history, mirrored = run(two)
told = {"weights": difference(one, mirrored)}
told["losses"] = float(np.abs(history["val_loss"] - mirrored_history["val_loss"]).max())
if sys.argv[2]:
    try:
        run(two, output=sys.argv[2], callbacks=stop_at(9))
    except KeyboardInterrupt:
        pass
    told["continued"] = difference(run(two, output=sys.argv[2])[1], mirrored)
uneven = tftune.Plan((head.replace(batch_size=4),), seed=3)  # 18 examples: two are left out
told["uneven"] = bool(np.isfinite(run(two, uneven)[0]["loss"]).all())
try:
    run(two, tftune.Plan((head.replace(batch_size=5),)))
except ConfigError as error:
    told["refused"] = str(error)
print(json.dumps(told))
"""


def _run(stripes_folder, folder, output=""):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(stripes_folder), str(output)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "TFTUNE_CACHE": str(folder), "CUDA_VISIBLE_DEVICES": "-1"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_two_devices_end_with_the_weights_of_one_and_neither_is_ever_without_examples(
    stripes_folder, tmp_path
):
    told = _run(stripes_folder, tmp_path)
    assert told["weights"] < 1e-6
    # A sum over a batch in two parts rounds otherwise, in the seventh digit of losses near 2.
    assert told["losses"] < 1e-5
    assert told["uneven"]
    assert "no multiple of 2 devices: take 4" in told["refused"]


@pytest.mark.slow
def test_a_mirrored_run_continues_where_it_was_interrupted(stripes_folder, tmp_path):
    assert _run(stripes_folder, tmp_path, tmp_path / "run")["continued"] < 1e-6


@pytest.fixture(scope="module")
def strategy():
    return tf.distribute.MirroredStrategy(["CPU:0"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": "auto"}, "give a number"),
        ({"batch_size": 64}, "18 training examples, which fill no batch"),
        ({"clip_norm": 1.0}, "set it to 0"),
        ({"precision": "mixed_float16"}, "mixed_bfloat16"),
        ({"ema": 0.9}, "`ema`"),
    ],
)
def test_what_several_devices_cannot_do_is_refused_by_name(
    small_model, stripes, strategy, changes, message
):
    phase = tftune.Phase("feature_extraction", "none", 1, 1e-2, **{"batch_size": 6, **changes})
    with pytest.raises(ConfigError, match=message):
        tftune.fine_tune(small_model, stripes, tftune.Plan((phase,)), strategy=strategy)


def test_strategies_over_several_machines_are_refused(small_model, stripes):
    others = tf.distribute.OneDeviceStrategy("CPU:0")
    with pytest.raises(ConfigError, match="Received: OneDeviceStrategy"):
        tftune.fine_tune(small_model, stripes, strategy=others)
    workers = tf.distribute.MultiWorkerMirroredStrategy()
    with pytest.raises(ConfigError, match="Keras 3 does not train under it"):
        tftune.fine_tune(small_model, stripes, strategy=workers)
