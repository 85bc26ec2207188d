"""The README's table of peers, made of rows that were measured."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scipy import stats

from benchmarks.peers.registry import PEERS, Peer

BUDGETS = (1, 5, 15)
"""Minutes of one core."""
_OWN = "tftune"
_HEAD = "tftune, head alone"
_ALIKE = 0.05
"""Points that are told as none."""
_GUIDE = "Keras guide"
_HEADER = (
    "a class",
    "",
    "accuracy, %",
    "against tftune, points",
    "seeds",
    "core-seconds",
    "MB",
    "lines",
)
_ON_PHONES = (
    "As 8-bit .tflite files, each by its library's documented way, asked image by image with "
    "LiteRT on one thread; points are lost against the same model in Python; ms are the network's."
)
_WITHIN = (
    "Accuracy in % within a budget, in minutes of one core. What trains in epochs is given as many "
    "as fit (in brackets: points against tftune's default on the same seeds; how many seeds); the "
    "others, and tftune, end by themselves."
)
_BUDGETS = ("a class", "", *(f"in {minutes} min" for minutes in BUDGETS))
_LENIENCE = 1.15
"""How much longer than its budget a run may have taken, since epochs cannot be cut."""
_PHONES = ("a class", "", "accuracy, %", "points lost", "seeds", "MB", "ms")
Rows = Sequence[dict[str, Any]]


class Group:
    """The rows of one kind of data at one number of examples a class."""

    def __init__(self, rows: Rows, kind: str, a_class: int) -> None:
        self.kind, self.a_class = kind, a_class
        rows = [r for r in rows if (r["case"]["kind"], r["case"]["a_class"]) == (kind, a_class)]
        rows = [row for row in rows if "error" not in row["figures"]]
        # Means are over the same draws for all.
        seeds = {row["case"]["seed"] for row in rows if row["case"]["peer"] == _OWN}
        self.rows = [row for row in rows if row["case"]["seed"] in seeds]
        self.peers = [
            peer
            for peer in PEERS
            if peer.kind == kind and any(row["case"]["peer"] == peer.name for row in self.rows)
        ]

    def figures(self, peer: str, figure: str, minutes: int = 0) -> dict[int, float]:
        """Return a figure of a peer by seed, of documented runs or of those within a budget."""
        return {
            row["case"]["seed"]: row["figures"][figure]
            for row in self.rows
            if (row["case"]["peer"], row["case"]["minutes"]) == (peer, minutes)
            and figure in row["figures"]
        }

    def median(self, peer: str, figure: str) -> float:
        return statistics.median(self.figures(peer, figure).values())

    def accuracy(self, peer: str) -> float:
        """Return the mean over seeds in %."""
        return 100 * statistics.mean(self.figures(peer, "accuracy").values())

    def gains(self, peer: str, minutes: int = 0) -> list[float]:
        """Return by how many points a peer's accuracy exceeds tftune's, seed by seed.

        Args:
            peer: name of the peer.
            minutes: the budget it fills; tftune's runs are always those of its default.
        """
        own, theirs = self.figures(_OWN, "accuracy"), self.figures(peer, "accuracy", minutes)
        return [100 * (theirs[seed] - own[seed]) for seed in sorted(own.keys() & theirs.keys())]

    def cells(self, peer: Peer) -> list[str]:
        seconds = self.median(peer.name, "cpu_seconds")
        accuracy = self.accuracy(peer.name)
        best = max(self.accuracy(other.name) for other in self.peers)
        told = f"{accuracy:.1f}"
        gains = self.gains(peer.name) if peer.name != _OWN else []
        return [
            f"{self.a_class}",
            peer.name,
            f"**{told}**" if accuracy == best else told,
            interval(gains) if gains else "",
            str(len(self.figures(peer.name, "accuracy"))),
            f"{seconds:.0f}",
            f"{self.median(peer.name, 'memory_mb'):,.0f}",
            f"{self.median(peer.name, 'lines'):.0f}",
        ]

    def budgets(self) -> list[list[str]]:
        """Return the cells of what each peer makes of budgets; none where no budget was tried."""
        tried = {row["case"]["minutes"] for row in self.rows} - {0}
        if not tried:
            return []
        return [
            [
                f"{self.a_class}",
                peer.name,
                *(self.within(peer, m) if m in tried else "" for m in BUDGETS),
            ]
            for peer in self.peers
        ]

    def within(self, peer: Peer, minutes: int) -> str:
        """Say how accurate a peer is that has so many minutes of one core."""
        filled = self.figures(peer.name, "accuracy", minutes)
        if peer.longer and not filled:
            return ""
        seconds = self.figures(peer.name, "cpu_seconds", minutes if filled else 0)
        if statistics.median(seconds.values()) > _LENIENCE * 60 * minutes:
            return "–"
        if not filled:
            return f"{self.accuracy(peer.name):.1f}"
        gains = self.gains(peer.name, minutes)
        return f"{100 * statistics.mean(filled.values()):.1f} ({interval(gains)}; {len(gains)})"

    def phones(self) -> list[list[str]]:
        """Return the cells of each peer's export for phones."""
        told = []
        for peer in self.peers:
            after = self.figures(peer.name, "phone_accuracy")
            if not after:
                continue
            before = self.figures(peer.name, "accuracy")
            lost = [100 * (before[seed] - after[seed]) for seed in sorted(after)]
            told.append(
                [
                    f"{self.a_class}",
                    peer.name,
                    f"{100 * statistics.mean(after.values()):.1f}",
                    interval(lost),
                    str(len(after)),
                    f"{self.median(peer.name, 'phone_mb'):.1f}",
                    f"{self.median(peer.name, 'phone_ms'):.1f}",
                ]
            )
        return told


def interval(gains: Sequence[float]) -> str:
    """Return the mean with the half-width of its 95% interval (Student's t over seeds)."""
    told = f"{statistics.mean(gains):+.1f}"
    return f"{told} ± {half_width(gains):.1f}" if len(gains) > 1 else told


def half_width(gains: Sequence[float]) -> float:
    """Return half of the 95% interval of the mean; infinite for a single value."""
    if len(gains) < 2:
        return float("inf")
    return float(stats.t.ppf(0.975, len(gains) - 1)) * statistics.stdev(gains) / len(gains) ** 0.5


def markdown(rows: Rows) -> str:
    """Return tables of images and of texts, and what they say of tftune in words."""
    parts = []
    for kind in ("images", "texts"):
        own = [row for row in rows if row["case"]["kind"] == kind]
        sizes = sorted({row["case"]["a_class"] for row in own})
        groups = [group for size in sizes if (group := Group(own, kind, size)).peers]
        if not groups:
            continue
        lines = [_row(_HEADER), "|---" * len(_HEADER) + "|"]
        lines += [_row(group.cells(peer)) for group in groups for peer in group.peers]
        budgets = [row for group in groups for row in group.budgets()]
        if budgets:
            lines += ["", _WITHIN, "", _row(_BUDGETS), "|---" * len(_BUDGETS) + "|"]
            lines += [_row(cells) for cells in budgets]
        phones = [row for group in groups for row in group.phones()]
        if phones:
            lines += ["", _ON_PHONES, "", _row(_PHONES), "|---" * len(_PHONES) + "|"]
            lines += [_row(cells) for cells in phones]
        said = [f"- {text}" for group in groups for text in _said(group)]
        said += [f"- {text}" for text in _errors(own)]
        parts += [f"{_title(own)}\n", *lines, "", *said, ""]
    return "\n".join(parts).rstrip()


def _title(rows: Rows) -> str:
    case = rows[0]["case"]
    if case["kind"] == "texts":
        return (
            f"Texts: {case['data']}, {case['test']:,} to test, all-MiniLM-L6-v2 wherever a network "
            "is trained."
        )
    return (
        f"Images: {case['data']}, {case['test']:,} to test, {case['size']} pixels, "
        "EfficientNet-Lite0 with its ImageNet weights wherever a pretrained network can be chosen."
    )


def _said(group: Group) -> list[str]:
    """Say where tftune is behind, and how it compares in time and memory."""
    names = [peer.name for peer in group.peers]
    if _OWN not in names:
        return []
    others = [peer for peer in group.peers if peer.name not in (_OWN, _HEAD)]
    told = [*_more_accurate(group, others), *_times(group, names, others)]
    return [f"At {group.a_class} a class {'; '.join(told)}."] if told else []


def _more_accurate(group: Group, others: Sequence[Peer]) -> list[str]:
    said = []
    for peer, minutes in itertools.product(others, (0, *BUDGETS)):
        gains = group.gains(peer.name, minutes)
        if not gains or statistics.mean(gains) <= -_ALIKE:
            continue
        given = f", given {minutes} min," if minutes else ""
        if statistics.mean(gains) < _ALIKE:
            said.append(f"{peer.name}{given} is as accurate as tftune ({interval(gains)} points)")
            continue
        sure = statistics.mean(gains) > half_width(gains)
        said.append(
            f"{peer.name}{given} is more accurate than tftune, by {interval(gains)} points"
            f"{'' if sure else ', which is within the interval'}"
        )
    return said


def _times(group: Group, names: Sequence[str], others: Sequence[Peer]) -> list[str]:
    """Compare tftune's times and memory with those of the others."""
    own = [name for name in (_OWN, _HEAD) if name in names]
    said = []
    passing = {
        name: group.median(_GUIDE, "cpu_seconds") / group.median(name, "cpu_seconds")
        for name in own
        if _GUIDE in names and group.accuracy(name) >= group.accuracy(_GUIDE)
    }
    if _OWN in passing:
        text = f"tftune passes the Keras guide's accuracy {passing[_OWN]:.1f} times as fast"
        more = f", its head alone {passing[_HEAD]:.1f} times" if _HEAD in passing else ""
        said.append(text + more)
    deep = [peer.name for peer in others if peer.deep]
    for name in own:
        seconds = group.median(name, "cpu_seconds")
        said += [
            f"{other} takes {group.median(other, 'cpu_seconds') / seconds:.1f} times the time of "
            f"{_called(name)}"
            for other in deep
            if group.median(other, "cpu_seconds") < seconds
        ]
    if deep:
        memory = {name: group.median(name, "memory_mb") for name in (*deep, _OWN)}
        least = min(deep, key=lambda name: memory[name])
        said.append(
            f"tftune's peak memory is {memory[_OWN] / memory[least]:.2f} times that of {least}, "
            "the smallest of the others that train a network"
        )
    return said


def _called(name: str) -> str:
    """Return what a sentence calls a peer."""
    return "tftune's head alone" if name == _HEAD else name


def _errors(rows: Rows) -> list[str]:
    """Return one line for each error of each peer, and for each that was not tried."""
    found: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        if "error" in row["figures"]:
            sizes = found.setdefault((row["case"]["peer"], row["figures"]["error"]), [])
            sizes.append(row["case"]["a_class"])
    reasons = {peer.name: peer.why_not for peer in PEERS}
    tried = {row["case"]["peer"] for row in rows}
    missing = [p.name for p in PEERS if p.kind == rows[0]["case"]["kind"] and p.name not in tried]
    return [f"{name} has not been measured yet." for name in missing] + [
        f"{name} has no figures at {', '.join(map(str, sorted(set(sizes))))} a class"
        f"{f' ({reasons[name]})' if reasons.get(name) else ''}: `{_short(error)}`"
        for (name, error), sizes in found.items()
    ]


def _short(error: str, limit: int = 200) -> str:
    error = " ".join(error.replace("`", "'").split())
    return error if len(error) <= limit else f"{error[: limit - 1]}…"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def put_in(page: Path, content: str, name: str = "peers") -> None:
    """Write `content` between `<!-- name -->` and `<!-- /name -->`.

    Raises:
        ValueError: if the page has no such marks.
    """
    text = page.read_text(encoding="utf-8")
    before, first, rest = text.partition(f"<!-- {name} -->")
    _, last, after = rest.partition(f"<!-- /{name} -->")
    if not (first and last):
        raise ValueError(f"{page} has no <!-- {name} --> ... <!-- /{name} -->")
    page.write_text(f"{before}{first}\n\n{content}\n\n{last}{after}", encoding="utf-8")


def found_in(page: Path, name: str = "peers") -> str:
    """Return what is between the page's two marks."""
    rest = page.read_text(encoding="utf-8").partition(f"<!-- {name} -->")[2]
    return rest.partition(f"<!-- /{name} -->")[0].strip()
