"""Time and memory as images, classes and trials grow, each case in a process of its own.

    python -m benchmarks scaling [--minutes 10]     measure, or go on where it stopped
    python -m benchmarks scaling --docs             write docs/scaling.md's table and plot

Images are Fashion-MNIST at 32 pixels, on which EfficientNet-Lite0 costs a fiftieth of what it does
at 224, so that 20,000 fit into minutes; a tenth as many validate. Images and classes: the default
plan on an empty cache. For more classes than ten, labels are made up: they do not change the cost.
With `--data` cases are left out for which there are too few images.
Trials: `tftune.search` for heads (random oracle) on 200 images, cache included. "Core-seconds" is
for how long cores were busy: other programs on the machine change that little.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import own_data
from benchmarks.peers.measure import busy_seconds, peak_mb
from benchmarks.peers.table import put_in
from benchmarks.results import OWN_IMAGES, Results, add_arguments, describe

SIZE = (32, 32)
AXES = {
    "images": [{"images": n, "classes": 10, "trials": 0} for n in (200, 2000, 20000)],
    "classes": [{"images": 3000, "classes": n, "trials": 0} for n in (10, 100, 1000)],
    "trials": [{"images": 200, "classes": 10, "trials": n} for n in (10, 50, 200)],
}
STEPS = {
    "pass": ("feature_extraction cache", "fine_tuning cache", "cache"),
    "head": ("feature_extraction probe", "feature_extraction train"),
    "fine-tuning": ("fine_tuning train", "fine_tuning interpolate"),
    "trials": ("head trials",),
}
"""What is shown of `TrainingRun.timings` and `SearchResult.seconds`."""
_DOCS = Path(__file__).parents[1] / "docs"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--axes", nargs="+", choices=list(AXES), default=list(AXES))
    parser.add_argument("--docs", action="store_true", help="write the page's table and plot")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    add_arguments(parser, OWN_IMAGES)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(_measure(**json.loads(arguments.measure), folder=arguments.data)))
        return
    results = Results("scaling", arguments.minutes, arguments.fresh, arguments.data)
    if not arguments.docs:
        cases = sorted(
            ({"axis": axis, **case} for axis in arguments.axes for case in AXES[axis]),
            key=lambda case: case["images"] * max(1, case["trials"] / 20),
        )
        if arguments.data:
            available = len(own_data.everything(arguments.data))
            cases = [case for case in cases if sum(_counts(case)) <= available]
        for case in results.todo(cases):
            asked = {name: value for name, value in case.items() if name != "axis"}
            results.add(case, _in_a_process(asked, arguments.data))
    print(_table(results))
    if arguments.docs:
        put_in(_DOCS / "scaling.md", f"{_table(results)}\n\n{describe()}.", "scaling")
        _plot(results, _DOCS / "images" / "scaling.svg")


def _counts(case: dict[str, Any]) -> tuple[int, int]:
    """Return how many images train and validate."""
    return case["images"], max(case["images"] // 10, case["classes"])


def _in_a_process(case: dict[str, int], data: Path | None) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks", "scaling", "--measure", json.dumps(case)]
    command += ["--data", str(data)] if data else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{case} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def _measure(images: int, classes: int, trials: int, folder: Path | None) -> dict[str, Any]:
    import tftune
    from tftune.cache.store import ActivationStore

    time.perf_counter = time.process_time  # what steps are timed by, in this process
    data = _data(images, classes, folder)
    model = tftune.build_image_classifier("efficientnet_lite0", data, image_size=SIZE)
    busy, before = busy_seconds(), peak_mb()
    with tempfile.TemporaryDirectory() as cache:
        store = ActivationStore(cache)
        if trials:
            found = tftune.search(
                model,
                data,
                trials=trials,
                fine_tune_trials=0,
                oracle="random",
                space=tftune.SearchSpace(head_epochs=5),
                verbose=False,
                store=store,
            )
            steps = dict(found.seconds)
        else:
            plan = tftune.plan(model, data, estimate=False)
            steps = dict(tftune.fine_tune(model, data, plan, verbose=False, store=store).timings)
        return {
            "cpu_seconds": busy_seconds() - busy,
            "memory_mb": peak_mb(),
            "memory_before_mb": before,
            "cache_mb": sum(p.stat().st_size for p in Path(cache).rglob("*") if p.is_file()) / 1e6,
            "steps": steps,
        }


def _data(images: int, classes: int, folder: Path | None) -> Any:
    import numpy as np

    import tftune
    from benchmarks import fashion_mnist

    count = sum(_counts({"images": images, "classes": classes}))
    if folder:
        pixels, labels = own_data.arrays(folder, SIZE[0], count)
    else:
        (pixels, labels), _ = fashion_mnist.load()
    labels = labels[:count].astype(int) if classes == 10 else np.arange(count) % classes
    return tftune.load_image_arrays(
        pixels[:count],
        labels,
        [str(c) for c in range(max(classes, int(labels.max()) + 1))],
        split=["train"] * images + ["validation"] * (count - images),
    )


def _table(results: Results) -> str:
    head = ("grows", "images", "classes", "trials", "core-seconds", *STEPS, "MB", "MB of cache")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for axis, cases in AXES.items():
        for case in cases:
            for row in results.rows(axis=axis, **case):
                figures = row["figures"]
                steps = figures["steps"]
                shares = [sum(steps.get(name, 0) for name in names) for names in STEPS.values()]
                cells = [
                    axis,
                    *(f"{case[name]:,}" for name in ("images", "classes", "trials")),
                    f"{figures['cpu_seconds']:.0f}",
                    *(f"{seconds:.1f}" if seconds else "" for seconds in shares),
                    f"{figures['memory_mb']:,.0f}",
                    f"{figures['cache_mb']:,.0f}",
                ]
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _plot(results: Results, path: Path) -> None:
    import matplotlib.pyplot as plt

    measured = {
        axis: [
            (c[axis], found[0]["figures"]) for c in cases if (found := results.rows(axis=axis, **c))
        ]
        for axis, cases in AXES.items()
    }
    axes = [axis for axis, known in measured.items() if len(known) > 1]
    figure, panels = plt.subplots(
        2,
        len(axes),
        figsize=(3 + 2.7 * len(axes), 5.5),
        sharey="row",
        layout="constrained",
        squeeze=False,
    )
    for column, axis in enumerate(axes):
        known = measured[axis]
        xs = [x for x, _ in known]
        time_panel, memory_panel = panels[0][column], panels[1][column]
        time_panel.plot(xs, [f["cpu_seconds"] for _, f in known], "o-", color="black", label="all")
        for number, (name, parts) in enumerate(STEPS.items()):
            ys = [sum(f["steps"].get(part, 0) for part in parts) for _, f in known]
            if any(ys):
                style = {"markersize": 3, "linewidth": 1, "color": f"C{number}"}
                time_panel.plot(xs, ys, "o--", label=name, **style)
        memory_panel.plot(xs, [f["memory_mb"] for _, f in known], "o-", color="black")
        time_panel.set(xscale="log", yscale="log", title=f"{axis} grow")
        memory_panel.set(xscale="log", xlabel=axis)
    most = max(f["memory_mb"] for known in measured.values() for _, f in known)
    panels[1][0].set_ylim(0, 1.1 * most)
    lines = {line.get_label(): line for panel in panels[0] for line in panel.get_lines()}
    figure.legend(
        lines.values(), lines, ncols=len(lines), loc="outside upper center", frameon=False
    )
    panels[0][0].set_ylabel("core-seconds")
    panels[1][0].set_ylabel("peak memory, MB")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    print(f"Wrote {path}")


if __name__ == "__main__":
    main()
