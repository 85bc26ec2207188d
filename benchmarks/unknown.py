"""Which score tells images of nothing a model knows from those it knows, by AUROC.

    python -m benchmarks.unknown [--images 1500]

Two datasets (Fashion-MNIST, scanned digits), each a linear head on frozen EfficientNet-Lite0
features at 96 pixels. What is unknown: crops of real photographs, the other dataset, and pairs of
classes that the head was not trained on, which is the hard case.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

import tftune
from benchmarks import fashion_mnist, own_data
from benchmarks.results import OWN_IMAGES
from tftune.cache.store import ActivationStore
from tftune.cache.trunk_pass import boundary_activations
from tftune.evaluation.unknown import energy
from tftune.results.unknown import KnownFeatures

SIDE = 96
HELD_OUT = ((8, 9), (0, 1), (4, 6))
_PHOTOGRAPHS = (
    "astronaut.png chelsea.png coffee.png rocket.jpg retina.jpg motorcycle_left.png "
    "hubble_deep_field.jpg ihc.png camera.png coins.png brick.png grass.png gravel.png moon.png"
).split()

Score = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1500, help="training images of clothes")
    parser.add_argument("--data", type=Path, help=OWN_IMAGES)
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    if arguments.data:
        first = {arguments.data.stem: _own(arguments.data, arguments.images)}
    else:
        first = {"fashion": _fashion(generator, arguments.images)}
    data = first | {"digits": _digits(generator)}
    pixels = [part for train, _, test, _ in data.values() for part in (train, test)]
    with tempfile.TemporaryDirectory() as cache:
        features = _features([*pixels, _photographs(generator)], ActivationStore(cache))
    *known, photographs = features
    rows: dict[str, dict[str, float]] = {}
    for place, (name, (_, labels, _, test_labels)) in enumerate(data.items()):
        train, test = known[2 * place : 2 * place + 2]
        others = {"photographs": photographs, "other data": known[3 - 2 * place]}
        _judge(rows, name, _scores(train, labels), test, others)
        for pair in HELD_OUT:
            if not set(pair) < set(labels.tolist()):
                continue  # the reader's data may have fewer classes
            inside, kept = ~np.isin(labels, pair), ~np.isin(test_labels, pair)
            scores = _scores(train[inside], labels[inside])
            _judge(rows, name, scores, test[kept], {f"classes {pair}": test[~kept]})
    columns = list(next(iter(rows.values())))
    print(f"{'score':<16}" + "".join(f"{column:>24}" for column in columns) + f"{'mean':>8}")
    for score, row in rows.items():
        shown = "".join(f"{row[column]:24.3f}" for column in columns)
        print(f"{score:<16}{shown}{np.mean(list(row.values())):8.3f}")


def _scores(train: np.ndarray, labels: np.ndarray) -> dict[str, Score]:
    # On a busy machine BLAS threads wait for one another a hundred times longer than they compute.
    with threadpool_limits(limits=1):
        head = LogisticRegression(C=0.1, max_iter=500).fit(train, labels)
    unit = train / np.linalg.norm(train, axis=1, keepdims=True)

    def neighbour(k: int) -> Score:
        def score(x: np.ndarray) -> np.ndarray:
            near = x / np.linalg.norm(x, axis=1, keepdims=True) @ unit.T
            return -np.sort(near, axis=1)[:, -k]

        return score

    return {
        "1 - probability": lambda x: 1 - head.predict_proba(x).max(axis=1),
        "energy": lambda x: energy(head.decision_function(x)),
        "Mahalanobis": _mahalanobis(unit, labels, 128),
        "neighbour": KnownFeatures.of(train).distances,
        "10th neighbour": neighbour(10),
        "50th neighbour": neighbour(50),
    }


def _mahalanobis(unit: np.ndarray, labels: np.ndarray, dimensions: int) -> Score:
    """Lee et al. 2018, on the principal axes of normalised features."""
    classes = np.unique(labels)
    means = np.stack([unit[labels == label].mean(axis=0) for label in classes])
    centre = unit.mean(axis=0)
    axes = np.linalg.svd(unit - centre, full_matrices=False)[2][:dimensions].T
    inside = (unit - means[np.searchsorted(classes, labels)]) @ axes
    covariance = inside.T @ inside / len(inside)
    whiten = np.linalg.cholesky(np.linalg.inv(covariance + 1e-6 * np.eye(dimensions)))
    centres = (means - centre) @ axes @ whiten

    def score(x: np.ndarray) -> np.ndarray:
        rows = (x / np.linalg.norm(x, axis=1, keepdims=True) - centre) @ axes @ whiten
        return np.square(rows[:, None] - centres).sum(axis=-1).min(axis=1)

    return score


def _judge(
    rows: dict[str, dict[str, float]],
    name: str,
    scores: dict[str, Score],
    inside: np.ndarray,
    others: dict[str, np.ndarray],
) -> None:
    for score, measure in scores.items():
        for other, outside in others.items():
            truth = np.repeat([0, 1], [len(inside), len(outside)])
            value = roc_auc_score(truth, np.concatenate([measure(inside), measure(outside)]))
            rows.setdefault(score, {})[f"{name}: {other}"] = float(value)


def _features(parts: list[np.ndarray], store: ActivationStore) -> list[np.ndarray]:
    first = tftune.load_image_arrays(parts[0], np.arange(len(parts[0])) % 10)
    model = tftune.build_image_classifier("efficientnet_lite0", first, image_size=(SIDE, SIDE))
    trunk, _ = model.cut(model.spec.pooled_layer)
    found = []
    for pixels in parts:
        labels = np.arange(len(pixels)) % 2
        data = tftune.load_image_arrays(pixels, labels, validation_share=0, test_share=0)
        found.append(np.asarray(boundary_activations(trunk, data.train.examples, store=store)))
    return found


def _enlarged(images: np.ndarray) -> np.ndarray:
    size, filter_ = (SIDE, SIDE), Image.Resampling.BICUBIC
    return np.stack([Image.fromarray(i).resize(size, filter_).convert("RGB") for i in images])


def _fashion(generator: np.random.Generator, count: int) -> tuple[np.ndarray, ...]:
    (train, labels), (test, test_labels) = fashion_mnist.load()
    chosen, held = generator.permutation(len(train))[:count], generator.permutation(len(test))[:500]
    return _enlarged(train[chosen]), labels[chosen], _enlarged(test[held]), test_labels[held]


def _own(folder: Path, count: int) -> tuple[np.ndarray, ...]:
    images, labels = own_data.arrays(folder, SIDE, count + 500)
    held = min(500, len(images) // 4)
    return images[held:], labels[held:], images[:held], labels[:held]


def _digits(generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    scans = load_digits()
    order = generator.permutation(len(scans.target))
    images = _enlarged((scans.images[order] * (255 / 16)).astype(np.uint8))
    labels = scans.target[order]
    return images[:1200], labels[:1200], images[1200:], labels[1200:]


def _photographs(generator: np.random.Generator) -> np.ndarray:
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    crops = []
    for name in _PHOTOGRAPHS:
        image = Image.open(folder / name).convert("RGB")
        for _ in range(20):
            side = int(generator.uniform(0.4, 1) * min(image.size))
            left, top = (int(generator.integers(0, length - side + 1)) for length in image.size)
            crops.append(image.crop((left, top, left + side, top + side)).resize((SIDE, SIDE)))
    return np.stack(crops)


if __name__ == "__main__":
    main()
