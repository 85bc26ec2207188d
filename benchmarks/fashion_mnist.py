"""Fashion-MNIST from the Debian package `dataset-fashion-mnist`, for the benchmarks.

    python -m benchmarks.fashion_mnist FOLDER [--images 2000]

writes a folder of PNG files, one folder a class.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import platformdirs
from PIL import Image

CLASS_NAMES = (
    "T-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
_PACKAGE = "dataset-fashion-mnist"
_INSTALLED = Path("/usr/share/datasets/fashion-mnist")
# SHA-256 of the uncompressed files.
_FILES = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}


def load(
    folder: str | os.PathLike[str] | None = None,
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return Fashion-MNIST, fetched once into a cache folder.

    Args:
        folder: holds the four `.gz` files, or will; the user's cache by default.

    Returns:
        (train images, train labels), (test images, test labels); images are uint8, shape
        (num_images, 28, 28), labels uint8, shape (num_images,).
    """
    here = Path(folder or Path(platformdirs.user_cache_dir("tftune-benchmarks"), "fashion-mnist"))
    if not all((here / f"{name}.gz").is_file() for name in _FILES):
        _fetch(here)
    values = {}
    for name, expected in _FILES.items():
        content = gzip.decompress((here / f"{name}.gz").read_bytes())
        if hashlib.sha256(content).hexdigest() != expected:
            raise SystemExit(f"{here / name}.gz is not the known file. Remove it and run again.")
        offset, shape = (16, (-1, 28, 28)) if "images" in name else (8, (-1,))
        values[name] = np.frombuffer(content, np.uint8, offset=offset).reshape(shape)
    train_images, train_labels, test_images, test_labels = values.values()
    return (train_images, train_labels), (test_images, test_labels)


def write_pngs(
    folder: str | os.PathLike[str], images: np.ndarray, labels: np.ndarray
) -> list[Path]:
    """Write `folder/<class name>/<number>.png` and return the paths in the order of `images`."""
    paths = []
    for number, (pixels, label) in enumerate(zip(images, labels, strict=True)):
        path = Path(folder, CLASS_NAMES[label], f"{number:05d}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        paths.append(path)
    return paths


def _fetch(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        source = _INSTALLED
        if not source.is_dir():
            if not shutil.which("apt-get"):
                raise SystemExit(
                    f"Fashion-MNIST comes from the Debian package {_PACKAGE}, and there is no "
                    f"apt-get here. Put {', '.join(f'{n}.gz' for n in _FILES)} into {folder}."
                )
            subprocess.run(["apt-get", "download", "-qq", _PACKAGE], cwd=work, check=True)
            (package,) = Path(work).glob("*.deb")
            subprocess.run(["dpkg", "-x", package, work], check=True)
            source = Path(work, *_INSTALLED.parts[1:])
        for name in _FILES:
            partial = folder / f".{name}.partial"
            shutil.copy(source / f"{name}.gz", partial)
            os.replace(partial, folder / f"{name}.gz")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=2000)
    arguments = parser.parse_args()
    _, (images, labels) = load()
    paths = write_pngs(arguments.folder, images[: arguments.images], labels[: arguments.images])
    print(f"Wrote {len(paths)} images to {arguments.folder}")


if __name__ == "__main__":
    main()
