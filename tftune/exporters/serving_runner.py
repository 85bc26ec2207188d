"""Runs an exported SavedModel as a server would: plain TensorFlow, no tftune, no keras.

A program of its own, started with one argument: a JSON file with `folder` (the version folder),
`input` (the name of the signature's input), `shape` (of one example's strings, [] for one),
`libraries` (of operations it needs), `files` (one example's bytes each), `outputs` (the names of
the outputs wanted), `batch_size` and `output` (where to write the answers, .npz). It writes `first
NAME` and `repeated NAME` for each output, the examples first, and `latency_ms`.
"""

import importlib.machinery
import json
import statistics
import sys
import time


class _Absent:
    """Makes keras and tftune unimportable, as on a machine that has neither.

    TensorFlow asks where keras lies without importing it, so only the import itself fails.
    """

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("keras", "tf_keras", "tftune"):
            spec = importlib.machinery.ModuleSpec(name, None, origin="/absent/__init__.py")
            spec.loader = self  # type: ignore[assignment]
            return spec
        return None

    def create_module(self, spec):
        raise ImportError(f"{spec.name} is kept out of this process")

    def exec_module(self, module):
        raise ImportError(f"{module.__name__} is kept out of this process")


def main() -> None:
    """Answer every file twice through the `serving_default` signature."""
    # The folder of this file comes first there; its neighbours must not be found as modules.
    sys.path.pop(0)
    sys.meta_path.insert(0, _Absent())
    import numpy as np
    import tensorflow as tf

    with open(sys.argv[1], encoding="utf-8") as stream:
        request = json.load(stream)
    for library in request.get("libraries", ()):
        tf.load_op_library(library)
    # Kept in a variable of its own: a signature does not keep the model it belongs to alive.
    loaded = tf.saved_model.load(request["folder"])
    signature = loaded.signatures["serving_default"]
    files, size = request["files"], request["batch_size"]
    runs: list = [[], []]
    seconds = []
    for start in range(0, len(files), size):
        encoded = []
        for name in files[start : start + size]:
            with open(name, "rb") as stream:
                content = stream.read()
            # Only a pair of texts has a shape: its parts are divided by a zero byte.
            encoded.append(content.split(b"\0") if request.get("shape") else content)
        for run in runs:
            started = time.perf_counter()
            answers = signature(**{request["input"]: tf.constant(encoded)})
            run.append({name: answers[name].numpy() for name in request["outputs"]})
            seconds.append((time.perf_counter() - started) / len(encoded))
    # The first run of a batch traces and allocates; it would not be typical of a server.
    steady = seconds[1:] or seconds
    found: dict = {
        f"{which} {name}": np.concatenate([answers[name] for answers in run])
        for which, run in zip(("first", "repeated"), runs, strict=True)
        for name in request["outputs"]
    }
    np.savez(request["output"], latency_ms=1000 * statistics.median(steady), **found)


if __name__ == "__main__":
    main()
