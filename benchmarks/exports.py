"""What exports cost and keep: size, accuracy, latency, throughput, and what MediaPipe answers.

    python -m benchmarks.exports [--of digits|fashion_mnist] [--images 500] [--minutes 4]

A model is fine-tuned on scanned digits, or on 100 images a class of Fashion-MNIST, with the resize
contract of MediaPipe, exported in every form, and each form answers images it has not seen. The
trained model is kept in the user's cache folder, so that a later run measures the same one.

"exact" is the same network computed in float64: what Keras itself is away from it says how close
two float32 programs can be expected to come.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import platformdirs
import tensorflow as tf
from PIL import Image

import tftune
from benchmarks import fashion_mnist, own_data
from benchmarks.digits import digits
from benchmarks.results import OWN_IMAGES, Results, add_arguments, describe
from tftune.data.decode import decode_image
from tftune.data.pipeline import image_batches
from tftune.data.resize import resize_images
from tftune.exporters.litert import LiteRtModel
from tftune.exporters.tflite import FORMS

BATCH_SIZE = 32
EXACT_IMAGES = 500
IMAGES = {"digits": 500, "fashion_mnist": 2000}
PARTS = (
    *("training", "exactness"),
    *FORMS,
    *("latency", "mediapipe", "saved_model", "throughput"),
)
TRAIN = {"digits": 400, "fashion_mnist": 1000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--of", choices=sorted(IMAGES), default="digits", help="known data")
    parser.add_argument("--images", type=int, help="held-out images; 500 digits, 2000 of Fashion")
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    add_arguments(parser, OWN_IMAGES)
    arguments = parser.parse_args()
    images = arguments.images or IMAGES[arguments.of]
    results = Results("exports", arguments.minutes, arguments.fresh, arguments.data)
    data_name = arguments.data.stem if arguments.data else arguments.of
    group = {"data": data_name, "images": images, "size": arguments.size}
    kept = Path(platformdirs.user_cache_dir("tftune-benchmarks"), "exports")
    file = kept / f"{data_name}-{arguments.size}.keras"
    if arguments.fresh:
        file.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = _data(arguments.of, folder / "images", images, arguments.data)
        parts: dict[str, Callable[[tftune.TransferModel], dict[str, Any]]] = {
            "training": lambda model: _trained(model, data),
            "exactness": lambda model: _exactness(model, data, folder),
            **{form: lambda model, f=form: _form(model, data, folder, f) for form in FORMS},
            "latency": lambda model: _latency(model, data, folder),
            "mediapipe": lambda model: _media_pipe(model, data, folder),
            "saved_model": lambda model: _served(model, data, folder),
            "throughput": lambda model: _throughput(model, data, folder),
        }
        model: tftune.TransferModel | None = None
        for case in results.todo({**group, "part": part} for part in arguments.parts):
            model = model or _model(file, data, arguments.size)
            results.add(case, parts[case["part"]](model))
    whole = results.rows(**group, part="none")
    small = results.rows(**group, part="int8")
    if whole and small:
        share = small[0]["figures"]["megabytes"] / whole[0]["figures"]["megabytes"]
        print(f"\nint8 is {share:.2f} of the float size")
    print(describe())


def _data(name: str, folder: Path, images: int, data_folder: Path | None) -> tftune.Dataset:
    if data_folder:
        return own_data.images(data_folder, TRAIN["digits"], 100, images)
    if name == "digits":
        data = digits(folder, TRAIN[name])
        return tftune.Dataset(
            data.train, data.validation, data.test.take(range(min(images, len(data.test))))
        )
    (train, train_labels), (test, test_labels) = fashion_mnist.load()
    order = np.random.default_rng(0)
    chosen = [order.permutation(np.flatnonzero(train_labels == c))[:120] for c in range(10)]
    splits = []
    for part, pixels, labels in (
        ("train", *_of(train, train_labels, np.concatenate([c[:100] for c in chosen]))),
        ("validation", *_of(train, train_labels, np.concatenate([c[100:] for c in chosen]))),
        ("test", test[:images], test_labels[:images]),
    ):
        fashion_mnist.write_pngs(folder / part, pixels, labels)
        splits.append(
            tftune.load_image_folder(folder / part, validation_share=0, test_share=0).train
        )
    return tftune.Dataset(*splits)


def _of(pixels: np.ndarray, labels: np.ndarray, chosen: np.ndarray) -> tuple[Any, Any]:
    return pixels[chosen], labels[chosen]


def _model(file: Path, data: tftune.Dataset, size: int) -> tftune.TransferModel:
    if not file.exists():
        model = tftune.build_image_classifier(
            "efficientnet_lite0", data, image_size=(size, size), resize="mediapipe"
        )
        plan = tftune.plan(model, data, unfreeze="block6")
        tftune.fine_tune(model, data, plan, verbose=False).model.save(file)
    return tftune.load(file)


def _trained(model: tftune.TransferModel, data: tftune.Dataset) -> dict[str, Any]:
    accuracy = tftune.evaluate(model, data.test).intervals["accuracy"]
    return {"accuracy": str(accuracy), "temperature": model.temperature}


def _pixels(model: tftune.TransferModel, split: tftune.Split) -> np.ndarray:
    return np.concatenate([b.numpy() for b in image_batches(split.examples, model.image_input)])


def _exactness(model: tftune.TransferModel, data: tftune.Dataset, folder: Path) -> dict[str, Any]:
    """How far Keras, LiteRT and the network in float64 are from one another."""
    pixels = _pixels(model, data.test.take(range(min(EXACT_IMAGES, len(data.test)))))
    export = tftune.export_tflite(model, folder / "exact.tflite", overwrite=True)
    exact_network = keras.Model.from_config(_in_float64(model.keras_model.get_config()))
    weights = [weight.astype(np.float64) for weight in model.keras_model.get_weights()]
    exact_network.set_weights(weights)
    run = tf.function(lambda batch: exact_network(tf.cast(batch, tf.float64), training=False))
    exact = np.concatenate([run(pixels[i : i + 16]).numpy() for i in range(0, len(pixels), 16)])
    assert exact.dtype == np.float64
    in_keras = np.concatenate(
        [model.forward(pixels[i : i + 32]) for i in range(0, len(pixels), 32)]
    )
    phone = LiteRtModel(export.path)
    in_litert = np.stack([phone(image)[0] for image in pixels])
    return {
        "litert from keras": float(np.abs(in_litert - in_keras).max()),
        "keras from exact": float(np.abs(in_keras - exact).max()),
        "litert from exact": float(np.abs(in_litert - exact).max()),
    }


def _in_float64(config: Any) -> Any:
    if isinstance(config, dict):
        return {key: _in_float64(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(_in_float64(value) for value in config)
    return "float64" if config == "float32" else config


def _form(
    model: tftune.TransferModel, data: tftune.Dataset, folder: Path, form: str
) -> dict[str, Any]:
    export = tftune.export_tflite(
        model,
        folder / f"{form}.tflite",
        quantize=form,
        calibration=data.train,
        verify=data.test,
        allow_drop=True,
        overwrite=True,
    )
    assert export.certificate is not None
    (head,) = export.certificate.heads
    return {
        "megabytes": export.size_bytes / 1e6,
        "accuracy": head.after["accuracy"].value,
        "drop": head.drop,
        "agreement": head.agreement,
        "largest difference": head.max_difference,
    }


def _latency(model: tftune.TransferModel, data: tftune.Dataset, folder: Path) -> dict[str, Any]:
    """Milliseconds an image on one thread; the forms in turn, since the machine may get busier."""
    rounds: dict[str, list[float]] = {form: [] for form in FORMS}
    for form in FORMS:
        tftune.export_tflite(
            model,
            folder / f"{form}.tflite",
            quantize=form,
            calibration=data.train.take(range(20)),
            overwrite=True,
        )
    for _ in range(3):
        for form in FORMS:
            measured = tftune.benchmark_tflite(folder / f"{form}.tflite", threads=(1,), repeats=30)
            rounds[form].append(measured.costs[0].median_ms)
    medians = {form: statistics.median(values) for form, values in rounds.items()}
    return {**medians, "int8 over float32": medians["int8"] / medians["none"]}


def _media_pipe(model: tftune.TransferModel, data: tftune.Dataset, folder: Path) -> dict[str, Any]:
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    file = tftune.export_tflite(model, folder / "none.tflite", overwrite=True).path
    options = vision.ImageClassifierOptions(
        base_options=BaseOptions(model_asset_path=file), max_results=1
    )
    names = list(data.test.examples.names)
    expected = [next(iter(answer)) for answer in model.predict(names)]
    same = 0
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for path, label in zip(names, expected, strict=True):
            pixels = np.ascontiguousarray(np.asarray(Image.open(path).convert("RGB")))
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
            found = classifier.classify(image).classifications[0].categories[0]
            same += found.category_name == label
    return {"same answer": same / len(names), "images": len(names)}


def _served(model: tftune.TransferModel, data: tftune.Dataset, folder: Path) -> dict[str, Any]:
    """Largest differences of a SavedModel from Keras: from pixels, and from JPEG files."""
    loaded = tf.saved_model.load(tftune.export_saved_model(model, folder / "served").path)
    split = data.test.take(range(min(200, len(data.test))))
    pixels = _pixels(model, split)
    from_pixels, from_files = 0.0, 0.0
    (folder / "jpeg").mkdir()
    for start in range(0, len(pixels), BATCH_SIZE):
        batch = pixels[start : start + BATCH_SIZE]
        answers = loaded.signatures["predict_pixels"](pixels=tf.constant(batch))["probabilities"]
        from_pixels = max(from_pixels, np.abs(answers - model.forward(batch)).max())
        files = []
        for path in split.examples.names[start : start + BATCH_SIZE]:
            files.append(folder / "jpeg" / f"{len(files)}.jpg")
            Image.open(path).convert("RGB").save(files[-1], quality=90)
        encoded = tf.constant([file.read_bytes() for file in files])
        answers = loaded.signatures["serving_default"](image_bytes=encoded)["probabilities"]
        expected = [[a[n] for n in model.class_names] for a in model.predict(files)]
        from_files = max(from_files, np.abs(answers - np.array(expected)).max())
    return {"from pixels": float(from_pixels), "from JPEG": float(from_files)}


def _throughput(model: tftune.TransferModel, data: tftune.Dataset, folder: Path) -> dict[str, Any]:
    """Encoded images to probabilities: one call of the export against decode, resize, Keras."""
    export = tftune.export_saved_model(model, folder / "served")
    loaded = tf.saved_model.load(export.path)
    signature = loaded.signatures["serving_default"]
    encoded = [Path(path).read_bytes() for path in data.test.examples.names]
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
    return {"served a second": ours, "decode then Keras": theirs, "ratio": ours / theirs}


if __name__ == "__main__":
    main()
