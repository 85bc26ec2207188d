"""Evaluating 2,000 images and writing the report against one bare predict pass over them.

    python -m benchmarks.evaluate [--images 2000] [--side 224]

Both sides read the same PNG files of Fashion-MNIST through the same pipeline and the same network,
in this process. The bare pass is `keras.Model.predict`; one through a compiled function, which is
what tftune itself runs, stands beside it. tftune's side is `evaluate` with all its intervals, the
thumbnails of notable images, the calibration and the whole page; pictures that explain are left
out. The model's head is trained on a few hundred images, so mistakes are as usual.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import tftune
from benchmarks import fashion_mnist, own_data
from benchmarks.results import OWN_IMAGES
from tftune.cache.store import ActivationStore
from tftune.data.pipeline import image_batches
from tftune.evaluation.evaluate import predict_split
from tftune.evaluation.record import thumbnails
from tftune.reports.run_report import write_report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--side", type=int, default=224, help="pixels of the network's input")
    parser.add_argument("--data", type=Path, help=OWN_IMAGES)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data = _data(arguments.data, root, arguments.images)
        size = (arguments.side, arguments.side)
        model = tftune.build_image_classifier("efficientnet_lite0", data, image_size=size)
        plan = tftune.plan(model, data, head_epochs=5, fine_tune_epochs=0)
        store = ActivationStore(root / "cache")
        tftune.fine_tune(model, data, plan, output=root / "run", verbose=False, store=store)
        _measure(model, data.test, root / "run")


def _data(folder: Path | None, root: Path, count: int) -> tftune.Dataset:
    if folder:
        return own_data.images(folder, 200, 40, count)
    (train_images, train_labels), (images, labels) = fashion_mnist.load()
    fashion_mnist.write_pngs(root / "train", train_images[:240], train_labels[:240])
    fashion_mnist.write_pngs(root / "test", images[:count], labels[:count])
    data = tftune.load_image_folder(root / "train", test_share=0)
    test = tftune.load_image_folder(root / "test", validation_share=0, test_share=0).train
    return tftune.Dataset(data.train, data.validation, test.renamed("test"))


def _measure(model: tftune.TransferModel, test: tftune.Split, run: Path) -> None:
    few = test.take(range(32))
    model.keras_model.predict(image_batches(few.examples, model.image_input), verbose=0)
    predict_split(model, few)
    tftune.evaluate(model, few)
    seconds = {}
    started = time.perf_counter()
    model.keras_model.predict(image_batches(test.examples, model.image_input), verbose=0)
    seconds["keras predict"] = time.perf_counter() - started
    started = time.perf_counter()
    predict_split(model, test)
    seconds["compiled pass"] = time.perf_counter() - started
    started = time.perf_counter()
    evaluation = tftune.evaluate(model, test)
    seconds["evaluate"] = time.perf_counter() - started
    started = time.perf_counter()
    pictures = thumbnails(test, evaluation.predictions)
    page = write_report(run, test=evaluation, thumbnails=pictures)
    seconds["report"] = time.perf_counter() - started
    for name, value in seconds.items():
        print(f"{name:<14} {value:7.1f} s", flush=True)
    ours = seconds["evaluate"] + seconds["report"]
    print(
        f"\n{len(test)} images, accuracy {evaluation.intervals['accuracy']}, page of "
        f"{page.stat().st_size / 1e6:.1f} MB: evaluate + report is "
        f"{ours / seconds['keras predict']:.2f} of a Keras predict pass, "
        f"{ours / seconds['compiled pass']:.2f} of a compiled pass"
    )


if __name__ == "__main__":
    main()
