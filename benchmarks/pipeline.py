"""Decode and resize against a bare `tf.data` pipeline, and the memory of an epoch.

    python -m benchmarks.pipeline [--images 400] [--repeats 5] [--epoch 20000]

Throughput: both sides read the same JPEG files, decode, resize to 224 x 224 with antialiasing, and
batch by 32, alternately in this process; the first pass of each is not counted, and the pixels are
compared. The bare side is what one would write by hand for plain JPEG files: no EXIF, no alpha, no
other formats. A second row gives the tftune side files that EXIF says to turn by 90 degrees.

Memory: a fresh process each for 2,000 and 20,000 generated images loads the folder and runs one
shuffled epoch; its peak resident memory is what the operating system reports.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import own_data
from benchmarks.results import OWN_IMAGES

SIZE = (224, 224)
BATCH_SIZE = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=400, help="photographs for the throughput")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--epoch", type=int, default=20000, help="images of the larger epoch")
    parser.add_argument("--part", choices=("both", "throughput", "memory"), default="both")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=f"{OWN_IMAGES}, of JPEG files")
    arguments = parser.parse_args()
    if arguments.measure:
        _measure(arguments.measure)
        return
    with tempfile.TemporaryDirectory() as folder:
        if arguments.part != "memory":
            _throughput(Path(folder), arguments.images, arguments.repeats, arguments.data)
        if arguments.part != "throughput":
            _memory(Path(folder), arguments.epoch)


def _throughput(folder: Path, count: int, repeats: int, own_folder: Path | None) -> None:
    import tensorflow as tf

    import tftune
    from tftune.config.image_input import ImageInput
    from tftune.data.pipeline import image_batches

    sources = {
        name: _photographs(folder / name, count, name == "exif", own_folder)
        for name in ("plain", "exif")
    }
    data = {
        name: tftune.load_image_folder(source, validation_share=0, test_share=0).train.examples
        for name, source in sources.items()
    }
    contract = ImageInput(SIZE)

    def bare() -> tf.data.Dataset:
        def read(path: tf.Tensor) -> tf.Tensor:
            pixels = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
            return tf.image.resize(pixels, SIZE, antialias=True)

        paths = tf.data.Dataset.from_tensor_slices(list(data["plain"].paths))
        images = paths.map(read, num_parallel_calls=tf.data.AUTOTUNE)
        return images.batch(BATCH_SIZE).prefetch(tf.data.AUTOTUNE)

    sides = {
        "bare tf.data": bare(),
        "tftune": image_batches(data["plain"], contract, BATCH_SIZE),
        "tftune, turned": image_batches(data["exif"], contract, BATCH_SIZE),
    }
    for ours, theirs in zip(sides["tftune"], sides["bare tf.data"], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(repeats + 1):
        for name in sorted(sides, reverse=repeat % 2 == 1):
            started = time.perf_counter()
            for _ in sides[name]:
                pass
            if repeat:
                rates[name].append(count / (time.perf_counter() - started))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print(f"{count} JPEG files to {SIZE[0]} x {SIZE[1]}, medians of {repeats}:")
    for name, rate in medians.items():
        ratio = rate / medians["bare tf.data"]
        print(f"{name:<14} {rate:7.0f} images/s  {ratio:.2f} of bare")


def _photographs(folder: Path, count: int, exif: bool, own_folder: Path | None) -> Path:
    """Cut real photographs into different pieces of 500 x 375 pixels, or take the reader's."""
    from skimage import data

    if own_folder:
        return _own(folder, count, exif, own_folder)
    sources = [Image.fromarray(image()) for image in (data.chelsea, data.coffee, data.astronaut)]
    generator = np.random.default_rng(0)
    block = Image.Exif()
    block[0x0112] = 6
    for index in range(count):
        source = sources[index % 3]
        side = float(generator.uniform(0.6, 1))
        width, height = source.width * side, source.height * side
        left = float(generator.uniform(0, source.width - width))
        top = float(generator.uniform(0, source.height - height))
        piece = source.resize((500, 375), box=(left, top, left + width, top + height))
        (folder / str(index % 3)).mkdir(parents=True, exist_ok=True)
        options = {"exif": block} if exif else {}
        piece.save(folder / str(index % 3) / f"{index:05d}.jpg", quality=90, **options)
    return folder


def _own(folder: Path, count: int, exif: bool, own_folder: Path) -> Path:
    """Copy the reader's files without what EXIF says, or with a turn by 90 degrees."""
    block = Image.Exif()
    block[0x0112] = 6 if exif else 1
    own_data.copy(own_data.images(own_folder, count).train, folder)
    for path in list(folder.glob("*/*")):
        image = Image.open(path).convert("RGB")
        path.unlink()
        image.save(path.with_suffix(".jpg"), quality=90, exif=block)
    return folder


def _memory(folder: Path, count: int) -> None:
    generator = np.random.default_rng(1)
    print(f"\nPeak memory of one shuffled epoch at {SIZE[0]} x {SIZE[1]}, one process each:")
    peaks = []
    for images in (count // 10, count):
        root = folder / f"epoch{images}"
        for index in range(images):
            (root / str(index % 4)).mkdir(parents=True, exist_ok=True)
            colours = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            image = Image.fromarray(colours).resize((64, 64))
            image.save(root / str(index % 4) / f"{index:06d}.jpg")
        command = [sys.executable, "-m", "benchmarks.pipeline", "--measure", str(root)]
        shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        measured = json.loads(shown.splitlines()[-1])
        peaks.append(measured)
        print(
            f"{images:>7} images: {measured['peak']:.0f} MB, of which {measured['idle']:.0f} MB "
            f"before the first file was read; {measured['seconds']:.0f} s"
        )
    small, large = peaks
    grown = (large["peak"] - large["idle"]) / (small["peak"] - small["idle"])
    print(f"ratio {large['peak'] / small['peak']:.2f}, without what was there before {grown:.2f}")


def _measure(folder: str) -> None:
    import tftune
    from tftune.config.image_input import ImageInput
    from tftune.training.batches import online_epochs

    _ = tftune.load_image_folder.__doc__  # imports TensorFlow
    idle = _peak()
    started = time.perf_counter()
    data = tftune.load_image_folder(folder, validation_share=0, test_share=0)
    epoch = online_epochs(data.train, ImageInput(SIZE), BATCH_SIZE, epochs=1, seed=0)
    seen = sum(len(labels) for _, labels in epoch)
    assert seen == len(data.train)
    peak = _peak()
    print(json.dumps({"peak": peak, "idle": idle, "seconds": time.perf_counter() - started}))


def _peak() -> float:
    """Peak resident memory in MB; getrusage would count that of the process that started this."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("needs Linux: /proc/self/status has no VmHWM")


if __name__ == "__main__":
    main()
