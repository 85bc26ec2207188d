"""Runs a peer's script and measures it; needs nothing but Python, whatever the environment.

    python measure.py SCRIPT TRAINING TEST OUTPUT --seed SEED [--size PIXELS] [--times FACTOR]
        [--phone EXPORT]

TRAINING is what the script's `train` reads, TEST a JSON list of what its `predict` is asked, OUTPUT
the JSON file to write: the answers, and what they cost. FACTOR tells a script to train so many
times as long as its documentation shows. EXPORT is a script whose `export` writes a
.tflite file, which then answers too.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import re
import resource
import runpy
import sys
import time
from pathlib import Path

_STARTED = time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("script", "training", "test", "output"):
        parser.add_argument(name)
    parser.add_argument("--size", type=int)
    parser.add_argument("--times", type=float)
    parser.add_argument("--phone")
    parser.add_argument("--seed", type=int)
    arguments = parser.parse_args()
    # This folder and the script's hold files that are called like the libraries they use.
    sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != Path(__file__).parent]
    size = () if arguments.size is None else (arguments.size,)
    longer = {} if arguments.times is None else {"times": arguments.times}
    peer = runpy.run_path(arguments.script)
    trained = peer["train"](arguments.training, *size, arguments.seed, **longer)
    seconds, cpu_seconds, memory = time.perf_counter() - _STARTED, busy_seconds(), peak_mb()
    test = json.loads(Path(arguments.test).read_text(encoding="utf-8"))
    started = time.perf_counter()
    answers = [str(answer) for answer in peer["predict"](trained, test, *size)]
    told = {
        "answers": answers,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "predict_seconds": time.perf_counter() - started,
        "memory_mb": memory,
        "predict_memory_mb": peak_mb(),
        "versions": _versions(),
    }
    if arguments.phone:
        file = Path(arguments.output).with_name("phone.tflite")
        on_phone = runpy.run_path(str(Path(__file__).with_name("phone.py")))["on_phone"]
        class_names = runpy.run_path(arguments.phone)["export"](trained, arguments.training, file)
        told |= on_phone(file, class_names, test)
    Path(arguments.output).write_text(json.dumps(told), encoding="utf-8")
    os._exit(0)  # some libraries hang, or say a lot, while they are torn down


def busy_seconds() -> float:
    """Return for how long this process and its children kept cores busy."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def peak_mb() -> float:
    """Return the peak resident memory of this process or of a child of it, whichever is larger.

    On Linux the process's own is read from /proc: what `getrusage` says begins with the peak of
    the process that started this one.
    """
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peaks = [
        resource.getrusage(who).ru_maxrss / unit
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    status = Path("/proc/self/status")
    if status.is_file():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="utf-8"))
        peaks[0] = int(found.group(1)) / 2**10 if found else peaks[0]
    return max(peaks)


def _versions() -> dict[str, str]:
    """Return the versions of the distributions that are loaded and that a reader would ask for."""
    asked = (
        "tftune tensorflow keras torch torchvision fastai autokeras keras-hub setfit "
        "sentence-transformers transformers scikit-learn numpy"
    ).split()
    found = {}
    for name in asked:
        if name.replace("scikit-learn", "sklearn").replace("-", "_") in sys.modules:
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
    return found


if __name__ == "__main__":
    main()
