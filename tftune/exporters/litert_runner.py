"""Times a .tflite file in LiteRT: a program of its own, so that its memory can be told.

Started with a file, a number of threads and a number of repeats; prints JSON with `seconds` (one a
repeat) and `peak_memory_bytes`.
"""

import json
import resource
import sys
import time


def main() -> None:
    """Run the file on zeros and print what it cost."""
    sys.path.pop(0)  # the folder of this file, whose neighbours must not be found as modules
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    path, threads, repeats = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    interpreter = Interpreter(model_path=path, num_threads=threads)
    interpreter.allocate_tensors()
    for tensor in interpreter.get_input_details():
        interpreter.set_tensor(tensor["index"], np.zeros(tensor["shape"], tensor["dtype"]))
    for _ in range(3):
        interpreter.invoke()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        interpreter.invoke()
        seconds.append(time.perf_counter() - started)
    # Kilobytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    print(json.dumps({"seconds": seconds, "peak_memory_bytes": peak}))


if __name__ == "__main__":
    main()
