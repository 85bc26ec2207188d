"""Comparing two models on the same examples."""

from __future__ import annotations

import collections

import numpy as np

from tftune.config.model_spec import TAGS
from tftune.errors import DataError
from tftune.evaluation.bootstrap import intervals_of
from tftune.evaluation.metrics import brier_scores, cross_entropies
from tftune.evaluation.paired import SURE, excludes_zero, mcnemar, mean_intervals
from tftune.evaluation.scores import headline_scores
from tftune.results.comparison import Comparison
from tftune.results.evaluation import Evaluation
from tftune.results.predictions import Predictions

_FEWEST = 2


def compare(
    a: Evaluation, b: Evaluation, names: tuple[str, str] = ("a", "b"), seed: int = 0
) -> Comparison:
    """Say which of two models is better, and whether that is certain.

    The two are compared on the examples that both answered, told apart by content, so the order of
    the splits does not matter.

    Args:
        a: the first model's evaluation.
        b: the second's, on the same split or one that shares examples with it.
        names: what to call the two.
        seed: seeds the bootstrap.

    Returns:
        Both sides' figures, and the differences with paired bootstrap intervals. For a multiclass
        head "certain" means that McNemar's exact test gives less than 0.05, otherwise that the
        interval of the headline's difference excludes 0.

    Raises:
        DataError: if the two answer different questions or share fewer than two examples.

    References:
        McNemar 1947, https://doi.org/10.1007/BF02295996; Efron & Tibshirani 1993, chapter 16.
    """
    first, second, notes = _matched(a, b)
    points = [_points(predictions, a.task) for predictions in (first, second)]
    scores, differences = {}, {}
    for name in points[0]:
        mine, theirs = points[0][name], points[1][name]
        one, two, gap = mean_intervals([mine, theirs, theirs - mine], seed=seed)
        scores[name], differences[name] = (one, two), gap
    if a.task == "regression":
        _add_rmse(points, scores, differences, seed)
    headline = next(iter(differences))
    gap = differences[headline]
    p_value = only_right = None
    sure = excludes_zero(gap)
    if a.task == "multiclass":
        right = [column["accuracy"] for column in points]
        p_value = mcnemar(*right)
        only_right = (int((right[0] > right[1]).sum()), int((right[1] > right[0]).sum()))
        sure = p_value < SURE
    ahead = gap.value > 0 if a.task != "regression" else gap.value < 0
    better = names[1 if ahead else 0] if sure and gap.value else None
    values = [pair.value for pair in scores[headline]]
    told = f"{headline.replace('_', ' ')} {values[0]:.3f} ({names[0]}) against {values[1]:.3f} "
    told += f"({names[1]}), a difference of {gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})"
    told += f", p = {p_value:.2g}" if p_value is not None else ""
    start = f"{better} is better" if better else f"Neither {names[0]} nor {names[1]} is better"
    return Comparison(
        names=names,
        split=a.split if a.split == b.split else f"{a.split} and {b.split}",
        num_examples=len(first),
        scores=scores,
        differences=differences,
        p_value=p_value,
        only_right=only_right,
        better=better,
        sentence=f"{start} for certain: {told}.",
        notes=notes,
    )


def _matched(a: Evaluation, b: Evaluation) -> tuple[Predictions, Predictions, tuple[str, ...]]:
    """Return the answers of both to the examples that both answered, in one order."""
    if a.predictions is None or b.predictions is None:
        raise DataError(
            "`a` and `b` must hold their predictions, as `tftune.evaluate` returns them. Received: "
            "an evaluation made from figures alone."
        )
    if (a.task, a.class_names) != (b.task, b.class_names):
        only = [sorted(set(x.class_names) - set(y.class_names)) for x, y in ((a, b), (b, a))]
        raise DataError(
            f"`a` and `b` must answer the same question. Received: {a.task} and {b.task}; classes "
            f"only in a: {only[0] or 'none'}, only in b: {only[1] or 'none'}, order apart."
        )
    places = {key: row for row, key in enumerate(_keys(b.predictions))}
    rows = [(row, places[key]) for row, key in enumerate(_keys(a.predictions)) if key in places]
    if len(rows) < _FEWEST:
        raise DataError(
            f"`a` and `b` share {len(rows)} example(s), too few to compare on. Evaluate both on "
            "the same split."
        )
    first = a.predictions.take([row for row, _ in rows])
    second = b.predictions.take([row for _, row in rows])
    notes = []
    if len(rows) < max(len(a.predictions), len(b.predictions)):
        notes.append(
            f"They share {len(rows)} of {len(a.predictions)} and {len(b.predictions)} examples; "
            "only those are compared."
        )
    same = (first.labels == second.labels) | (np.isnan(first.labels) & np.isnan(second.labels))
    if not same.all():
        raise DataError(
            f"`a` and `b` must agree on the true labels. {int((~same).sum())} of "
            f"{same.size} labels differ."
        )
    return first, second, tuple(notes)


def _keys(predictions: Predictions) -> list[tuple[str, int]]:
    """Tell examples apart by content, and copies of one by which of them they are."""
    seen: collections.Counter[str] = collections.Counter()
    keys = []
    for digest in predictions.fingerprints:
        keys.append((digest, seen[digest]))
        seen[digest] += 1
    return keys


def _points(predictions: Predictions, task: str) -> dict[str, np.ndarray]:
    """Return what each example adds to each mean; the headline first."""
    outputs, labels = predictions.outputs, predictions.labels
    if task == "multiclass":
        return {
            "accuracy": (predictions.predicted == labels).astype(float),
            "loss": cross_entropies(outputs, labels),
            "brier": brier_scores(outputs, labels),
        }
    name, scores = headline_scores(outputs, labels, task)
    if task == TAGS:
        return {name: scores}
    squares = np.square(outputs.astype(np.float64) - labels)
    second = "brier" if task == "multilabel" else "_squares"
    return {name: scores, second: np.nanmean(squares, axis=1)}


def _add_rmse(points: list, scores: dict, differences: dict, seed: int) -> None:
    """Replace the squares by their roots; a root of a mean is no mean, so it has a bootstrap."""
    squares = [column.pop("_squares") for column in points]
    scores.pop("_squares"), differences.pop("_squares")

    def roots(weights: np.ndarray) -> dict[str, np.ndarray]:
        one, two = (np.sqrt(weights @ column / len(column)) for column in squares)
        return {"one": one, "two": two, "gap": two - one}

    values = {n: float(c[0]) for n, c in roots(np.ones((1, len(squares[0])))).items()}
    found = intervals_of(values, roots, len(squares[0]), seed=seed)
    scores["rmse"], differences["rmse"] = (found["one"], found["two"]), found["gap"]
