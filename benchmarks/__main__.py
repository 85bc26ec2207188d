"""Runs a benchmark by name, or lists them all: `python -m benchmarks [NAME [OPTIONS]]`."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

from tftune.errors import TftuneError


def benchmarks() -> dict[str, str]:
    """Return the first line of each benchmark's docstring by name; what has no `main` is none."""
    found = {}
    here = Path(__file__).parent
    for path in sorted([*here.glob("*.py"), *here.glob("*/__main__.py")]):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        name = path.parent.name if path.stem == "__main__" else path.stem
        if "main" in functions and path != here / "__main__.py":
            found[name] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def main() -> None:
    """Run `benchmarks.NAME` as a program, with the rest of the command line."""
    found = benchmarks()
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print("python -m benchmarks NAME [OPTIONS]; --help after a name says more.\n")
        for name, line in found.items():
            print(f"  {name:<16} {line}")
        return
    name = sys.argv.pop(1)
    if name not in found:
        raise SystemExit(f"There is no benchmark {name!r}. There are: {', '.join(found)}.")
    try:
        runpy.run_module(f"benchmarks.{name}", run_name="__main__", alter_sys=True)
    except TftuneError as error:  # of the reader's own data
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
