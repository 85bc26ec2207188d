"""Finding copies of the same picture by what it looks like."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tftune.data.image_facts import ImageFacts

# One minus the cosine of two signatures. Copies as JPEG of quality 60-95, resized by 0.5-1.5, lie
# below 0.006 in 97 of 100 cases (Fashion-MNIST and crops of photographs); of 2,000 clothes of
# Fashion-MNIST no two are closer than 0.009, of the crops no two closer than 0.05.
LARGEST_DISTANCE = 0.006
_LARGEST_COLOR_DIFFERENCE = 16.0  # of the mean colour, in [0, 255]: a red and a green flag differ
_NOISE = 45.0  # what JPEG does to a signature at most, however faint the picture is, such as sky
_LEAST_NORM = 150.0  # below, the picture is nearly uniform and its signature is noise
_CELLS_AT_ONCE = 8_000_000  # pairs compared in one step: some 100 MB


def groups_of_copies(
    facts: Sequence[ImageFacts], largest_distance: float = LARGEST_DISTANCE
) -> list[list[int]]:
    """Group files that show the same picture.

    Args:
        facts: what is known of each file; those with a problem are in no group.
        largest_distance: how far apart copies may be; 0 groups files of equal bytes only.

    Returns:
        Indices, ascending within and between groups; each group has at least two.
    """
    pairs = [*_equal_bytes(facts)]
    if largest_distance > 0:
        pairs += _alike(facts, largest_distance)
    if not pairs:
        return []
    first, second = np.array(pairs).T
    graph = coo_array((np.ones(len(pairs)), (first, second)), shape=(len(facts), len(facts)))
    _, component = connected_components(graph, directed=False)
    by_component: dict[int, list[int]] = {}
    for index in np.unique(np.concatenate([first, second])):
        by_component.setdefault(int(component[index]), []).append(int(index))
    return sorted(by_component.values())


def _equal_bytes(facts: Sequence[ImageFacts]) -> list[tuple[int, int]]:
    first_with: dict[str, int] = {}
    pairs = []
    for index, fact in enumerate(facts):
        if fact.problem:
            continue
        first = first_with.setdefault(fact.digest, index)
        if first != index:
            pairs.append((first, index))
    return pairs


def _alike(facts: Sequence[ImageFacts], largest_distance: float) -> list[tuple[int, int]]:
    chosen = [i for i, fact in enumerate(facts) if fact.signature is not None]
    if not chosen:
        return []
    signatures = np.stack([facts[i].signature for i in chosen])  # type: ignore[misc]
    norms = np.linalg.norm(signatures, axis=1)
    varied = norms >= _LEAST_NORM
    indices = np.array(chosen)[varied]
    norms = norms[varied]
    unit = signatures[varied] / norms[:, None]
    colors = np.array([facts[i].mean_color for i in indices], dtype=np.float32).reshape(-1, 3)
    pairs: list[tuple[int, int]] = []
    rows_at_once = max(1, _CELLS_AT_ONCE // max(1, len(unit)))
    for start in range(0, len(unit), rows_at_once):
        # Every pair once, as a matrix product: 3 s of one core for 20,000 images, as the square.
        similar = unit[start : start + rows_at_once] @ unit[start:].T
        strength = norms[start : start + rows_at_once, None] * norms[start:]
        rows, columns = np.nonzero(1 - similar <= largest_distance + _NOISE**2 / (2 * strength))
        kept = columns > rows
        rows, columns = rows[kept] + start, columns[kept] + start
        kept = np.abs(colors[rows] - colors[columns]).max(axis=1, initial=0) <= (
            _LARGEST_COLOR_DIFFERENCE
        )
        pairs += zip(indices[rows[kept]].tolist(), indices[columns[kept]].tolist(), strict=True)
    return pairs
