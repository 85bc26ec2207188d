"""What the audit finds of planted faults, what it raises false alarms on, and what it costs.

    python -m benchmarks.audit [faults] [labels] [time] [--images 2000] [--repeats 2]

faults: exact copies, damaged files and near copies (JPEG of quality 60-95, resized by 0.5-1.5)
among clothes of Fashion-MNIST and among pieces of photographs that do not overlap. labels: 2, 5 and
10% of labels replaced at random, against the same ranking when the number is known, and against the
confident joint as published. time: the audit and one feature pass over the same images, each with
an empty cache, alternately after one unmeasured feature pass; both include building the backbone.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

import tftune
from benchmarks import fashion_mnist, own_data
from benchmarks.results import OWN_IMAGES
from tftune.cache.store import ActivationStore
from tftune.cache.trunk_pass import boundary_activations
from tftune.data.image_files import ImageFiles
from tftune.evaluation.label_errors import (
    confident_joint,
    find_label_errors,
    out_of_fold,
    reduced,
)

PHOTOGRAPHS = (
    "astronaut",
    "chelsea",
    "coffee",
    "rocket",
    "immunohistochemistry",
    "gravel",
    "grass",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["faults", "labels", "time"])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", type=Path, help=OWN_IMAGES)
    arguments = parser.parse_args()
    title = arguments.data.stem if arguments.data else "Fashion-MNIST"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        files, labels = _images(arguments.data, root / "images", arguments.images)
        if "faults" in arguments.parts:
            clothes = [Image.open(path).convert("RGB") for path in files.paths]
            faults(title, root / "a", clothes, labels)
            pieces, kinds = _photographs()
            faults("photographs", root / "b", pieces, kinds)
        if "labels" in arguments.parts:
            label_errors(files, labels)
        if "time" in arguments.parts:
            cost(files, arguments.repeats)


def _images(data: Path | None, folder: Path, count: int) -> tuple[ImageFiles, np.ndarray]:
    if data:
        split = own_data.everything(data)
        own_data.copy(split.take(range(min(count, len(split)))), folder)
        split = tftune.load_image_folder(folder, validation_share=0, test_share=0).train
        return split.examples, split.labels
    _, (images, labels) = fashion_mnist.load()
    images, labels = images[:count], labels[:count]
    return ImageFiles(tuple(map(str, fashion_mnist.write_pngs(folder, images, labels)))), labels


def faults(title: str, root: Path, images: list[Image.Image], labels: np.ndarray) -> None:
    generator = np.random.default_rng(0)
    paths = []
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = root / str(label) / f"{index:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
        paths.append(path)
    clean = _copies_found(_audit(root))
    chosen = generator.permutation(len(images))
    count = min(100, len(images) // 5)
    exact, near, damaged = chosen[:count], chosen[count : 2 * count], chosen[2 * count : 3 * count]
    for index in exact:
        (paths[index].parent / f"exact{index}.png").write_bytes(paths[index].read_bytes())
    for index in near:
        (paths[index].parent / f"near{index}.jpg").write_bytes(_changed(images[index], generator))
    for place, index in enumerate(damaged):
        content = _changed(images[index], generator) if place % 2 else paths[index].read_bytes()
        cut = 0 if place % 10 == 0 else int(len(content) * generator.uniform(0.1, 0.95))
        (paths[index].parent / f"damaged{index}.jpg").write_bytes(content[:cut])
    report = _audit(root)
    found = _copies_found(report)
    said = " ".join(issue.message for issue in report.of_kind("unreadable"))
    pairs = {
        tuple(sorted((f"{i:05d}", f"{kind}{i}")))
        for kind, of in (("exact", exact), ("near", near))
        for i in of
    }
    exact_found = sum((f"{i:05d}", f"exact{i}") in found for i in exact)
    near_found = sum((f"{i:05d}", f"near{i}") in found for i in near)
    damaged_found = sum(f"damaged{i}.jpg" in said for i in damaged)
    false = [pair for pair in found if pair not in pairs and pair not in clean]
    print(f"{title}, {len(images)} images, {count} of each fault:")
    print(f"  exact copies   {exact_found / count:7.1%} found")
    print(f"  near copies    {near_found / count:7.1%} found")
    print(f"  damaged files  {damaged_found / count:7.1%} found")
    print(f"  pairs called copies: {len(clean)} before planting, {len(false)} wrong ones after")
    for first, second in sorted(clean)[:5]:
        print(f"    {first} {second}")


def _audit(root: Path) -> tftune.AuditReport:
    return tftune.audit(root, features=False, verbose=False)


def _copies_found(report: tftune.AuditReport) -> set[tuple[str, str]]:
    """Every pair of file stems that some finding calls copies."""
    pairs = set()
    for issue in report.of_kind("exact_duplicate", "near_duplicate", "leakage", "label_conflict"):
        stems = sorted(Path(path).stem for path in issue.paths)
        pairs |= {(a, b) for i, a in enumerate(stems) for b in stems[i + 1 :]}
    return pairs


def _changed(image: Image.Image, generator: np.random.Generator) -> bytes:
    factor = generator.uniform(0.5, 1.5)
    size = [max(1, round(side * factor)) for side in image.size]
    ways = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    resized = image.resize(size, ways[generator.integers(3)])
    resized.save(stream, "JPEG", quality=int(generator.integers(60, 96)))
    return stream.getvalue()


def _photographs() -> tuple[list[Image.Image], np.ndarray]:
    pieces, kinds = [], []
    for kind, name in enumerate(PHOTOGRAPHS):
        pixels = getattr(skimage.data, name)()
        pixels = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
        for top in range(0, pixels.shape[0] - 95, 96):
            for left in range(0, pixels.shape[1] - 95, 96):
                piece = pixels[top : top + 96, left : left + 96]
                if piece.std() > 12:  # others are plain sky or background
                    pieces.append(Image.fromarray(piece))
                    kinds.append(kind)
    return pieces, np.array(kinds)


def label_errors(files: ImageFiles, labels: np.ndarray) -> None:
    features = reduced(np.asarray(boundary_activations(_trunk(), files)))
    labels = labels.astype(np.int64)
    classes = int(labels.max()) + 1
    print("share  flagged  precision  recall  estimated | knowing the number | confident joint")
    for share in (0.0, 0.02, 0.05, 0.1):
        rows = []
        for seed in range(3):
            generator = np.random.default_rng(seed)
            wrong = generator.permutation(len(labels))[: round(share * len(labels))]
            changed = labels.copy()
            changed[wrong] = (changed[wrong] + generator.integers(1, classes, len(wrong))) % classes
            found = find_label_errors(features, changed, seed=seed)
            scores = out_of_fold(features, changed, np.arange(len(labels)), seed)
            own = scores[np.arange(len(labels)), changed]
            lowest = np.argsort(own)[: len(wrong)]
            joint = np.flatnonzero(confident_joint(scores, changed))
            rows.append(
                [len(found.flagged), *_hits(found.flagged, wrong), found.estimated_number]
                + [*_hits(lowest, wrong), len(joint), *_hits(joint, wrong)]
            )
        flagged, precision, recall, estimated, *rest = np.mean(rows, axis=0)
        print(
            f"{share:5.0%}  {flagged:7.0f}  {precision:9.2f}  {recall:6.2f}  {estimated:9.0f} | "
            f"{rest[0]:8.2f} {rest[1]:9.2f} | {rest[2]:4.0f} {rest[3]:.2f} {rest[4]:.2f}"
        )


def _hits(flagged: np.ndarray, wrong: np.ndarray) -> tuple[float, float]:
    hits = np.isin(flagged, wrong).sum()
    return hits / max(1, len(flagged)), hits / max(1, len(wrong))


def cost(files: ImageFiles, repeats: int) -> None:
    data = tftune.load_image_folder(Path(files.paths[0]).parents[1])

    def feature_pass(store: ActivationStore) -> None:
        trunk = _trunk()
        for split in data.splits.values():
            boundary_activations(trunk, split.examples, store=store)

    def audit(store: ActivationStore) -> None:
        tftune.audit(data, store=store, verbose=False)

    with tempfile.TemporaryDirectory() as cache:
        feature_pass(ActivationStore(cache))
    seconds: dict[str, list[float]] = {"feature pass": [], "audit": []}
    for repeat in range(repeats):
        sides = [("feature pass", feature_pass), ("audit", audit)]
        for name, side in sides if repeat % 2 else sides[::-1]:
            with tempfile.TemporaryDirectory() as cache:
                started = time.perf_counter()
                side(ActivationStore(cache))
                seconds[name].append(time.perf_counter() - started)
            print(f"{name:<12} {seconds[name][-1]:6.1f} s", flush=True)
    usual = {name: statistics.median(times) for name, times in seconds.items()}
    ratio = usual["audit"] / usual["feature pass"]
    count = sum(len(split) for split in data.splits.values())
    print(f"{count} images, medians of {repeats}: audit {ratio:.2f} times one feature pass")


def _trunk():
    model = tftune.build_image_classifier("efficientnet_lite0", class_names=("a", "b"))
    return model.cut(model.spec.pooled_layer)[0]


if __name__ == "__main__":
    main()
