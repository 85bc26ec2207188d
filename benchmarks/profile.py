"""Where the time of a default run goes, and what the processor's arithmetic alone would take.

    python -m benchmarks profile [--images 200] [--size 224]     measure and print
    python -m benchmarks profile --docs                          write docs/scaling.md's part of it

One process does what the README shows: imports tftune, loads a folder of PNG files (Fashion-MNIST,
ten classes, a quarter as many images to validate as to train), builds the default model, plans,
fine-tunes from an empty cache and predicts as many test images. A step's time is that for which
it kept cores busy, which other programs on the machine change little. The limit is the trunk's
floating-point operations, once for each image that trains or validates, at the rate at which a core
multiplies matrices of 2,048 float32 numbers a side (the best of ten).
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.peers.measure import peak_mb
from benchmarks.peers.table import put_in
from benchmarks.results import OWN_IMAGES, Results, add_arguments, describe

_DOCS = Path(__file__).parents[1] / "docs"
_MEASURE = "--measure"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=200, help="training images")
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    parser.add_argument("--docs", action="store_true", help="write the page's part and its plot")
    parser.add_argument(_MEASURE, help=argparse.SUPPRESS)
    add_arguments(parser, OWN_IMAGES)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(_measure(Path(arguments.measure), arguments.size)))
        return
    results = Results("profile", arguments.minutes, arguments.fresh, arguments.data)
    case = {"images": arguments.images, "size": arguments.size}
    for asked in results.todo([case]):
        with tempfile.TemporaryDirectory() as folder:
            _write(Path(folder), arguments.images, arguments.data)
            command = [sys.executable, "-m", "benchmarks", "profile", _MEASURE, folder]
            command += ["--size", str(arguments.size)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        results.add(asked, json.loads(done.stdout.splitlines()[-1]))
    for row in results.rows(**case):
        told = _told(case, row["figures"])
        print(f"{told}\n{describe()}")
        if arguments.docs:
            put_in(_DOCS / "scaling.md", f"{told}\n\n{describe()}.", "profile")
            _plot(row["figures"], _DOCS / "images" / "profile.svg")


def _write(folder: Path, images: int, data: Path | None) -> None:
    from benchmarks.peers.cases import load_images, write

    source = load_images(data)
    write(source, "images", images // len(set(source.labels)), images, 0, folder)


def _measure(folder: Path, size: int) -> dict[str, Any]:
    time.perf_counter = time.process_time  # what steps are timed by, in this process
    ends = {"start": 0.0}
    import keras  # noqa: F401  tftune imports it, and TensorFlow, on first use

    import tftune
    from tftune.cache.store import ActivationStore

    ends["import"] = time.process_time()
    data = tftune.load_image_folder(folder / "images", test_share=0)
    ends["load"] = time.process_time()
    model = tftune.build_image_classifier("efficientnet_lite0", data, image_size=(size, size))
    ends["build"] = time.process_time()
    plan = tftune.plan(model, data, estimate=False)
    ends["plan"] = time.process_time()
    with tempfile.TemporaryDirectory() as cache:
        run = tftune.fine_tune(model, data, plan, verbose=False, store=ActivationStore(cache))
    ends["fine_tune"] = time.process_time()
    model.predict(sorted(str(path) for path in (folder / "test").iterdir()))
    ends["predict"] = time.process_time()
    seconds = {name: ends[name] - ends[before] for before, name in itertools.pairwise(ends)}
    parts = dict(run.timings)
    parts["other"] = seconds["fine_tune"] - sum(parts.values())
    flops = sum(stage.flops for stage in model.stages)
    images = len(data.train) + len(data.validation)
    rate = _flops_a_second()
    return {
        "seconds": seconds,
        "parts": parts,
        "memory_mb": peak_mb(),
        "gflops_an_image": flops / 1e9,
        "gflops_a_second": rate / 1e9,
        "limit_seconds": images * flops / rate,
        "images": images,
    }


def _flops_a_second(side: int = 2048, repeats: int = 10) -> float:
    import numpy as np

    left = np.random.default_rng(0).normal(size=(side, side)).astype(np.float32)
    fastest = float("inf")
    for _ in range(repeats):
        started = time.process_time()
        left @ left
        fastest = min(fastest, time.process_time() - started)
    return 2 * side**3 / fastest


def _bar(figures: dict[str, Any]) -> dict[str, float]:
    """Return the pieces of the bar: the steps, with fine_tune's own in its place."""
    pieces = {}
    for name, seconds in figures["seconds"].items():
        pieces |= figures["parts"] if name == "fine_tune" else {name: seconds}
    return pieces


def _told(case: dict[str, int], figures: dict[str, Any]) -> str:
    pieces = {name: s for name, s in _bar(figures).items() if name != "predict"}
    total = sum(pieces.values())
    lines = ["| step | core-seconds | share |", "|---|---|---|"]
    lines += [f"| {name} | {s:.1f} | {s / total:.0%} |" for name, s in pieces.items()]
    passes = sum(s for name, s in pieces.items() if name.endswith("cache"))
    limit = figures["limit_seconds"]
    return "\n".join(
        [
            *lines,
            f"| all | {total:.1f} | |",
            "",
            f"{case['images']} images train and {figures['images'] - case['images']} validate, at "
            f"{case['size']} pixels. One image costs the trunk {figures['gflops_an_image']:.2f} "
            f"GFLOP; a core multiplied matrices at {figures['gflops_a_second']:.0f} GFLOP/s at "
            f"the time, so {figures['images']} images could not take less than {limit:.1f} "
            f"core-seconds. Filling the cache took {passes / limit:.1f} times that, the whole run "
            f"{total / limit:.0f} times. Peak memory: {figures['memory_mb']:,.0f} MB.",
        ]
    )


def _plot(figures: dict[str, Any], path: Path) -> None:
    import matplotlib.pyplot as plt

    pieces = {name: s for name, s in _bar(figures).items() if name != "predict"}
    figure, axes = plt.subplots(figsize=(10, 2.6), layout="tight")
    colors = plt.get_cmap("tab20").colors
    left = 0.0
    for color, (name, seconds) in zip(colors, pieces.items(), strict=False):
        axes.barh("default run", seconds, left=left, label=f"{name} {seconds:.1f}", color=color)
        left += seconds
    axes.barh("limit", figures["limit_seconds"], color="black")
    axes.set_xlabel("core-seconds")
    axes.legend(ncol=5, fontsize=7, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.02))
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    print(f"Wrote {path}")


if __name__ == "__main__":
    main()
