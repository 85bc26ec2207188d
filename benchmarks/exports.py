"""What exports cost and keep: size, accuracy, latency, throughput, and what MediaPipe answers.

    python -m benchmarks.exports [--images 500] [--size 224]

A model is fine-tuned on scanned digits with the resize contract of MediaPipe, exported in every
form, and each form answers images it has not seen. Everything is printed beside Keras' own.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

import tftune
from benchmarks.digits import digits
from tftune.data.decode import decode_image
from tftune.data.resize import resize_images
from tftune.exporters.tflite import FORMS

BATCH_SIZE = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=500, help="held-out images")
    parser.add_argument("--train", type=int, default=400, help="training images")
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = digits(folder / "images", arguments.train)
        held_out = data.test.take(range(min(arguments.images, len(data.test))))
        model = tftune.build_image_classifier(
            "efficientnet_lite0",
            data,
            image_size=(arguments.size, arguments.size),
            resize="mediapipe",
        )
        plan = tftune.plan(model, data, unfreeze="block6")
        run = tftune.fine_tune(model, data, plan, verbose=False)
        print(run.verdict)
        _phone_forms(model, data, held_out, folder)
        _media_pipe(model, held_out, folder / "none.tflite")
        _throughput(model, held_out, folder)


def _phone_forms(
    model: tftune.TransferModel, data: tftune.Dataset, held_out: tftune.Split, folder: Path
) -> None:
    whole = 0
    print(f"\n{'form':<9}{'MB':>7}{'of float':>10}{'accuracy':>10}{'drop':>8}{'largest diff':>14}")
    medians = {}
    for form in FORMS:
        export = tftune.export_tflite(
            model,
            folder / f"{form}.tflite",
            quantize=form,
            calibration=data.train,
            verify=held_out,
            allow_drop=True,
        )
        certificate = export.certificate
        assert certificate is not None
        whole = whole or export.size_bytes
        print(
            f"{form:<9}{export.size_bytes / 1e6:>7.2f}{export.size_bytes / whole:>10.2f}"
            f"{certificate.heads[0].after['accuracy'].value:>10.3f}{certificate.drop:>8.3f}"
            f"{certificate.max_difference:>14.1e}",
            flush=True,
        )
    # Alternately, since the machine may be busier at one time than at another.
    rounds: dict[str, list[float]] = {form: [] for form in FORMS}
    for _ in range(3):
        for form in FORMS:
            measured = tftune.benchmark_tflite(folder / f"{form}.tflite", threads=(1,), repeats=30)
            rounds[form].append(measured.costs[0].median_ms)
    medians = {form: statistics.median(values) for form, values in rounds.items()}
    shown = ", ".join(f"{form} {value:.1f} ms" for form, value in medians.items())
    print(f"one image on one thread, medians: {shown}")
    print(f"int8 takes {medians['int8'] / medians['none']:.2f} of float32's time")


def _media_pipe(model: tftune.TransferModel, held_out: tftune.Split, file: Path) -> None:
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.ImageClassifierOptions(
        base_options=BaseOptions(model_asset_path=str(file)), max_results=1
    )
    expected = [next(iter(answer)) for answer in model.predict(list(held_out.examples.names))]
    same = 0
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for path, label in zip(held_out.examples.names, expected, strict=True):
            pixels = np.ascontiguousarray(np.asarray(Image.open(path).convert("RGB")))
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
            found = classifier.classify(image).classifications[0].categories[0]
            same += found.category_name == label
    print(
        f"\nMediaPipe gives Keras' answer on {same / len(expected):.1%} of {len(expected)} images"
    )


def _throughput(model: tftune.TransferModel, held_out: tftune.Split, folder: Path) -> None:
    """Encoded images to probabilities: one call of the export against decode, resize, Keras."""
    export = tftune.export_saved_model(model, folder / "served")
    loaded = tf.saved_model.load(export.path)
    signature = loaded.signatures["serving_default"]
    encoded = [Path(path).read_bytes() for path in held_out.examples.names]
    batches = [encoded[i : i + BATCH_SIZE] for i in range(0, len(encoded), BATCH_SIZE)]
    full = [batch for batch in batches if len(batch) == BATCH_SIZE][:8]
    forward = tf.function(lambda pixels: model.keras_model(pixels, training=False))

    def served() -> None:
        for batch in full:
            signature(image_bytes=tf.constant(batch))["probabilities"].numpy()

    def by_hand() -> None:
        for batch in full:
            images = [resize_images(decode_image(tf.constant(b)), model.image_input) for b in batch]
            forward(tf.stack(images)).numpy()

    seconds: dict[str, list[float]] = {"served": [], "by_hand": []}
    served(), by_hand()
    for _ in range(3):
        for name, side in (("served", served), ("by_hand", by_hand)):
            started = time.perf_counter()
            side()
            seconds[name].append(time.perf_counter() - started)
    count = len(full) * BATCH_SIZE
    ours, theirs = (count / statistics.median(seconds[name]) for name in ("served", "by_hand"))
    print(
        f"\nfrom encoded images: served {ours:.0f} a second, decode then Keras {theirs:.0f}: "
        f"ratio {ours / theirs:.2f}"
    )


if __name__ == "__main__":
    main()
