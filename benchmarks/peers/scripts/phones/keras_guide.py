"""https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/post_training_integer_quant."""

from pathlib import Path

import keras
import tensorflow as tf


def export(trained, folder, path):
    model, class_names = trained
    images = keras.utils.image_dataset_from_directory(
        f"{folder}/train", labels=None, batch_size=1, image_size=model.input_shape[1:3], seed=0
    )
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image] for image in images.take(100))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    Path(path).write_bytes(converter.convert())
    return class_names
