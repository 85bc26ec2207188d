"""What becomes of files that cannot be used: refused by name, or left out and listed."""

from __future__ import annotations

from collections.abc import Sequence

from tftune.errors import DataError, check_choice

ON_BAD = ("raise", "skip")
_MOST_NAMED = 5


def keep_good(problems: Sequence[str], on_bad: str) -> tuple[list[int], tuple[str, ...]]:
    """Decide which examples are used.

    Args:
        problems: one entry an example: "" or a sentence that says what is wrong with it.
        on_bad: "raise" refuses all if one is bad; "skip" leaves the bad ones out.

    Returns:
        Indices of the good ones, and the sentences about all others.

    Raises:
        DataError: if one is bad and `on_bad` is "raise", or if all are.
    """
    check_choice("on_bad", on_bad, ON_BAD)
    good = [index for index, problem in enumerate(problems) if not problem]
    bad = tuple(problem for problem in problems if problem)
    if bad and (on_bad == "raise" or not good):
        if len(bad) == 1:
            raise DataError(f"{bad[0]} {_hint(on_bad)}".strip())
        more = f" And {len(bad) - _MOST_NAMED} more." if len(bad) > _MOST_NAMED else ""
        raise DataError(
            f"{len(bad)} of {len(problems)} examples cannot be used. "
            f"{' '.join(bad[:_MOST_NAMED])}{more} {_hint(on_bad)}".strip()
        )
    return good, bad


def _hint(on_bad: str) -> str:
    return '`on_bad="skip"` leaves such files out and lists them.' if on_bad == "raise" else ""
