"""tftune beside other libraries at equal data, splits and seeds: accuracy, time, memory, lines.

    python -m benchmarks peers [--minutes 40]      measure, or go on where it stopped
    python -m benchmarks peers --publish           keep what was measured in the repository
    python -m benchmarks peers --table             write the README's table of what is kept

Each peer (benchmarks/peers/registry.py) has a virtual environment of its own, made once in the
user's cache folder, and a short script (benchmarks/peers/scripts) that uses it as its documentation
shows. Each run is a process: it reads a folder of images, or a table of texts, with as many
examples a class as asked and a quarter as many to validate (a library that has no use for these
trains on them too), and answers for the test examples, whose labels it never sees.

"Core-seconds" is for how long the process kept cores busy, imports included, until the model was
trained; other programs on the machine change it little, and predicting is not in it. (Rows hold
the seconds of the clock as well.) Memory is the peak until then, of the process or of a child.
Lines are those of the script.

First each library trains as long as its documentation shows. Those that train in epochs are then
given budgets, in minutes of one core: as many epochs as fit, by what the documented run of the same
seed took.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers.cases import Source, load_images, load_texts
from benchmarks.peers.registry import PEERS, Peer
from benchmarks.peers.runner import run
from benchmarks.peers.table import BUDGETS, markdown, put_in
from benchmarks.results import Results, add_arguments, describe

PUBLISHED = Path(__file__).parents[1] / "published" / "peers.json"
README = Path(__file__).parents[2] / "README.md"
FIRST_SEED = 300  # the defaults were chosen and reported with others
SIZE, TEST = 64, 2000
"""Of images in pixels (small, so that two cores end all of it within hours), and test examples."""
SIZES = {"images": (5, 20, 100), "texts": (10,)}
"""Examples a class."""
LARGE = 100
"""From so many examples a class on, cases come last: so a part of it all is a table already."""
BEGINNING = 6.0
"""Core-seconds, about, in which a library is imported, which a larger budget does not repeat."""
LEAST_TIMES = 0.1
"""Of the documented ten epochs that leaves one."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--size", type=int, default=SIZE, help="pixels a side")
    parser.add_argument("--test", type=int, default=TEST, help="test examples")
    parser.add_argument("--a-class", nargs="+", type=int, help="examples a class")
    parser.add_argument("--budgets", nargs="*", type=int, default=BUDGETS, help="core-minutes")
    parser.add_argument("--kinds", nargs="+", choices=("images", "texts"))
    parser.add_argument("--peers", nargs="+", choices=sorted({peer.name for peer in PEERS}))
    parser.add_argument("--data", type=Path, help="a folder of class folders, or a CSV file")
    parser.add_argument("--limit", type=float, default=3600, help="seconds a run may take")
    parser.add_argument("--publish", action="store_true", help=f"write {PUBLISHED.name}")
    parser.add_argument("--table", action="store_true", help="write the README's table")
    add_arguments(parser)
    arguments = parser.parse_args()
    results = Results("peers", arguments.minutes, arguments.fresh)
    if arguments.publish:
        publish(results)
    if arguments.table:
        put_in(README, markdown(published()))
    if arguments.publish or arguments.table:
        return
    sources = load(arguments)
    measure(arguments, sources, results)
    for source in sources.values():
        print(markdown(results.rows(data=source.name, size=arguments.size, test=arguments.test)))
    print(describe())


def load(arguments: argparse.Namespace) -> dict[str, Source]:
    """Return what each kind draws from."""
    if arguments.data:
        if arguments.data.is_dir():
            return {"images": load_images(arguments.data)}
        return {"texts": load_texts(arguments.data)}
    loaders = {"images": load_images, "texts": load_texts}
    return {kind: loaders[kind]() for kind in arguments.kinds or loaders}


def measure(arguments: argparse.Namespace, sources: dict[str, Source], results: Results) -> None:
    for case in results.todo(cases(arguments, sources)):
        # What failed once at a size fails with other seeds too.
        same = {key: value for key, value in case.items() if key != "seed"}
        if any("error" in row["figures"] for row in results.rows(**same)):
            continue
        times = None
        if case["minutes"]:
            documented = results.rows(**case | {"minutes": 0})
            if not documented or "error" in documented[0]["figures"]:
                continue
            times = times_within(case["minutes"], documented[0]["figures"]["cpu_seconds"])
        source = sources[case["kind"]]
        results.add(case, run(peer_of(case), source, case, arguments.limit, times))


def peer_of(case: dict[str, Any]) -> Peer:
    """Return the peer that a case is about."""
    (peer,) = (p for p in PEERS if (p.kind, p.name) == (case["kind"], case["peer"]))
    return peer


def times_within(minutes: float, documented_seconds: float) -> float:
    """Return how many times as long as documented a library may train within a budget.

    Args:
        minutes: of one core.
        documented_seconds: core-seconds of the documented run.
    """
    times = (60 * minutes - BEGINNING) / max(documented_seconds - BEGINNING, 1.0)
    return max(times, LEAST_TIMES)


def cases(arguments: argparse.Namespace, sources: dict[str, Source]) -> Iterator[dict[str, Any]]:
    """Yield cases: what is documented, cheap ones first, then budgets in the same order."""
    documented = list(documented_cases(arguments, sources))
    yield from documented
    for minutes in arguments.budgets:
        yield from (case | {"minutes": minutes} for case in documented if peer_of(case).longer)


def documented_cases(
    arguments: argparse.Namespace, sources: dict[str, Source]
) -> Iterator[dict[str, Any]]:
    """Yield cases, cheap ones first, seed by seed; peers take turns in going first."""
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    for late, seed, kind in itertools.product((False, True), seeds, sources):
        for a_class in arguments.a_class or SIZES[kind]:
            peers = [
                peer
                for peer in PEERS
                if peer.kind == kind
                and peer.name in (arguments.peers or (peer.name,))
                and (peer.late or a_class >= LARGE) == late
            ]
            for peer in reversed(peers) if seed % 2 else peers:
                yield {
                    "kind": kind,
                    "data": sources[kind].name,
                    "size": arguments.size,
                    "test": arguments.test,
                    "a_class": a_class,
                    "seed": seed,
                    "peer": peer.name,
                    "minutes": 0,
                }


def publish(results: Results) -> None:
    """Keep the rows of the README's table in the repository, one a line.

    Measured rows are a machine's own, so `results/` is not in the repository; a table that readers
    are shown is, so that it can be checked.
    """
    kept = {"size": SIZE, "test": TEST}
    own = results.rows(**kept, peer="tftune")
    seeds = range(FIRST_SEED, FIRST_SEED + 5)
    groups = {tuple(row["case"][name] for name in ("data", "kind", "a_class")) for row in own}
    rows = [
        row
        for data, kind, a_class in sorted(groups)
        for row in results.rows(**kept, data=data, kind=kind, a_class=a_class)
        if row["case"]["seed"] in seeds and data in ("fashion", "descriptions")
    ]
    PUBLISHED.parent.mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps(row, sort_keys=True) for row in rows)
    PUBLISHED.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"Wrote {len(rows)} rows to {PUBLISHED}", file=sys.stderr)


def published() -> list[dict[str, Any]]:
    """Return the rows that the README's table is made of."""
    return json.loads(PUBLISHED.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
