"""The layers of an 8-bit file give what the float network's give."""

import copy

import keras
import numpy as np
import pytest
import tensorflow as tf

from tftune.exporters.layer_correction import correct_layers
from tftune.exporters.tflite_contents import inspect_tflite, prove_integer
from tftune.exporters.tflite_tree import read_tree, write_tree
from tftune.exporters.weight_rounding import round_weights, windows

SIDE = 12


@pytest.fixture(scope="module")
def network():
    """Kernels with one large weight a channel, next to which the others are rounded coarsely."""
    keras.utils.set_random_seed(3)
    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Conv2D(8, 3, activation="relu6")(x)
    x = keras.layers.DepthwiseConv2D(3, activation="relu6")(x)
    x = keras.layers.Conv2D(8, 1)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Softmax()(keras.layers.Dense(4)(x)))
    rng = np.random.default_rng(3)
    for layer in model.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            kernel = rng.uniform(0.2, 1, kernel.shape) / 20
            kernel.reshape(-1, len(bias))[0] = 4.0
            # The converter leaves a dense layer's bias out if it is zero.
            layer.set_weights([kernel, bias + isinstance(layer, keras.layers.Dense)])
    return model


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(4)
    return [rng.integers(0, 256, (1, SIDE, SIDE, 3)).astype(np.float32) for _ in range(30)]


@pytest.fixture(scope="module")
def files(network, images):
    """The network in float32 and in 8 bits."""
    reference = tf.lite.TFLiteConverter.from_keras_model(network).convert()
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    return reference, converter.convert()


def _layers(content, images):
    """Return each layer's mean output by channel, and the size of one step of it, by name."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=content,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]
    graph = read_tree(content).subgraphs[0]
    layers = [int(op.outputs[0]) for op in graph.operators if len(op.inputs) == 3]
    details = {d["index"]: d for d in interpreter.get_tensor_details()}
    sums, steps = {}, {}
    for image in images:
        interpreter.set_tensor(source["index"], image.astype(source["dtype"]))
        interpreter.invoke()
        for detail in map(details.__getitem__, layers):
            scale, zero = detail["quantization"]
            values = interpreter.get_tensor(detail["index"]).astype(np.float64)
            values = (values - zero) * scale if scale else values
            mean = values.reshape(-1, values.shape[-1]).mean(0) / len(images)
            sums[detail["name"]] = sums.get(detail["name"], 0) + mean
            steps[detail["name"]] = scale
    return sums, steps


def test_the_mean_of_every_layer_is_the_float_networks(files, images):
    reference, content = files
    corrected, count = correct_layers(content, reference, images)
    assert count == 4
    wanted, _ = _layers(reference, images)
    before, steps = _layers(content, images)
    after, _ = _layers(corrected, images)
    assert len(wanted) == 4 and wanted.keys() == after.keys()

    def farthest(found):
        return max(np.abs(found[name] - wanted[name]).max() / steps[name] for name in wanted)

    # These outputs hardly differ from image to image, so rounding moves all of them by half a step
    # to one side before the correction, and after it again: one step at most is left.
    assert farthest(after) < 1
    assert farthest(before) > 2


def test_the_file_stays_all_integer_and_of_its_size(files, images):
    reference, content = files
    corrected, _ = correct_layers(content, reference, images)
    old, new = inspect_tflite(content), inspect_tflite(corrected)
    prove_integer(new)
    assert [o.name for o in new.operators] == [o.name for o in old.operators]
    # The biases of the convolutions are all zero before, and equal constants share their place.
    assert abs(len(corrected) - len(content)) < 500


def test_weights_are_rounded_for_the_inputs_they_meet():
    """Of inputs that are equal but for little noise only the sum of weights counts."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(500, 1)) + 0.05 * rng.normal(size=(500, 9))
    weights, steps = rng.uniform(-1, 1, (20, 9)), np.full(20, 0.25)
    rounded = round_weights(weights[None], (inputs.T @ inputs / 500)[None], steps[None])[0]
    plain = np.round(weights / 0.25)

    def error(integers):
        return np.abs(inputs @ (integers * 0.25 - weights).T).mean()

    assert error(rounded) < error(plain) / 2
    assert np.abs(rounded).max() <= 127


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (2, 1)])
def test_windows_are_what_tensorflows_convolution_sees(padding, strides):
    rng = np.random.default_rng(0)
    image = rng.normal(size=(7, 6, 2)).astype(np.float32)
    kernel = rng.normal(size=(3, 2, 2, 4)).astype(np.float32)
    expected = tf.nn.conv2d(image[None], kernel, strides, padding.upper()).numpy().reshape(-1, 4)
    seen = windows(image, (3, 2), strides, padding == "same", rng)
    received = seen.reshape(len(seen), -1) @ kernel.reshape(-1, 4)
    # The positions come in a random order.
    by_first = lambda rows: rows[np.argsort(rows[:, 0])]  # noqa: E731
    np.testing.assert_allclose(by_first(received), by_first(expected), atol=1e-5)


def test_what_cannot_be_run_layer_by_layer_stays_as_it_is(files, images):
    reference, content = files
    tree = read_tree(content)
    tree.subgraphs.append(copy.copy(tree.subgraphs[0]))
    several = write_tree(tree)
    assert correct_layers(several, reference, images) == (several, 0)
