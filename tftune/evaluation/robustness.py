"""Scores on spoiled images and on parts of the data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from scipy.stats import ttest_ind_from_stats

from tftune.builders.heads import by_head
from tftune.builders.transfer_model import TransferModel
from tftune.data.dataset import Split
from tftune.data.pipeline import image_batches
from tftune.errors import ConfigError, DataError, ShapeError, check_choice
from tftune.evaluation.corruptions import CORRUPTIONS, LEVELS
from tftune.evaluation.evaluate import Progress, check_classes
from tftune.evaluation.paired import mean_intervals
from tftune.evaluation.scores import headline_scores
from tftune.results.evaluation import Evaluation
from tftune.results.robustness import RobustnessReport, Slice, SliceReport

_MANY_VALUES = 12


def measure_robustness(
    model: TransferModel,
    split: Split,
    corruptions: Sequence[str] = tuple(CORRUPTIONS),
    *,
    limit: int = 500,
    batch_size: int = 32,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> RobustnessReport:
    """Measure a model on spoiled images: noise, blur, brightness, JPEG and rotation.

    Each image is read once, resized as the model wants it, and spoiled in five levels a way; so it
    costs some 27 passes. It is also resized as MediaPipe does on a phone.

    Args:
        model: whose first head is measured.
        split: examples it was not trained on.
        corruptions: which of "noise", "blur", "brightness", "jpeg" and "rotation".
        limit: at most so many examples, drawn evenly.
        batch_size: examples a step.
        seed: draws examples and noise.
        on_progress: told how many examples are done, of how many.

    Returns:
        The score at each level, with intervals.

    Raises:
        ConfigError: if a corruption has another name.
        DataError: if the split is empty or its classes are not the model's.
    """
    for name in corruptions:
        check_choice("corruptions", name, CORRUPTIONS)
    check_classes(model, split)
    generator = np.random.default_rng(seed)
    if len(split) > limit:
        split = split.take(np.sort(generator.choice(len(split), limit, replace=False)))
    names = ["clean", "phone", *(f"{name} {level}" for name in corruptions for level in LEVELS)]
    logits: dict[str, list[np.ndarray]] = {name: [] for name in names}
    phone = dataclasses.replace(model.image_input, resize="mediapipe")
    pairs = zip(
        image_batches(split.examples, model.image_input, batch_size),
        image_batches(split.examples, phone, batch_size),
        strict=True,
    )
    done = 0
    for pixels, on_phone in pairs:
        batch = np.asarray(pixels)
        logits["clean"].append(_first_head(model, pixels))
        logits["phone"].append(_first_head(model, on_phone))
        for name in corruptions:
            for level in LEVELS:
                spoiled = [CORRUPTIONS[name](image, level, generator) for image in batch]
                inputs = tf.constant(np.stack(spoiled).astype(np.float32))
                logits[f"{name} {level}"].append(_first_head(model, inputs))
        done += len(batch)
        if on_progress:
            on_progress(done, len(split))
    metric, columns = "", []
    for name in names:
        outputs = _outputs(model, np.concatenate(logits[name]))
        metric, column = headline_scores(outputs, split.labels, model.task)
        columns.append(column)
    known = np.isfinite(columns[0])
    if not known.any():
        raise DataError(f"No example of the {split.name} split has a known label.")
    columns = [column[known] for column in columns]
    *found, gap = mean_intervals([*columns, columns[1] - columns[0]], seed=seed)
    scores = dict(zip(names, found, strict=True))
    return RobustnessReport(
        split=split.name,
        num_examples=int(known.sum()),
        metric=metric,
        clean=scores["clean"],
        spoiled={n: tuple(scores[f"{n} {level}"] for level in LEVELS) for n in corruptions},
        phone_resize=scores["phone"],
        phone_difference=gap,
    )


def measure_slices(
    evaluation: Evaluation,
    split: Split,
    columns: Mapping[str, Sequence[Any]] | None = None,
    *,
    least: int = 20,
    seed: int = 0,
) -> SliceReport:
    """Measure a model on the examples that share a value of a column, such as a camera.

    Args:
        evaluation: of the model on `split`, as `tftune.evaluate` returns it.
        split: what was evaluated; its `columns` are those of the table it was loaded from.
        columns: more columns by name, one entry an example of `split`. Numbers with many different
            values are cut at their quartiles.
        least: slices with fewer examples are left out.
        seed: seeds the bootstrap.

    Returns:
        The score of every slice, the worst first, each tested against all other examples by
        Welch's test with Bonferroni's correction.

    Raises:
        ConfigError: if there is no column.
        ShapeError: if a column has another length than the split.
        DataError: if the evaluation holds no predictions.

    References:
        Welch 1947, https://doi.org/10.1093/biomet/34.1-2.28.
    """
    answers = evaluation.predictions
    if answers is None:
        raise DataError("`evaluation` must hold its predictions, as `tftune.evaluate` returns it.")
    everything = {**split.columns, **(columns or {})}
    if not everything:
        raise ConfigError(
            "`columns` must name at least one column, since this split has none of its own. Give "
            "a mapping such as {'camera': [...]} with one entry an example."
        )
    metric, points = headline_scores(answers.outputs, answers.labels, evaluation.task)
    found, left_out = [], 0
    for name, column in everything.items():
        if len(column) != len(split):
            raise ShapeError(
                f"Column {name!r} must have {len(split)} entries, one an example. "
                f"Received: {len(column)}."
            )
        values = _categories([column[index] for index in answers.indices])
        for value in dict.fromkeys(values):
            rows = np.array([other == value for other in values])
            if rows.sum() < least or rows.all():
                left_out += int(not rows.all())
                continue
            found.append((name, value, rows))
    slices = []
    for name, value, rows in found:
        inside, outside = points[rows], points[~rows]
        (score,) = mean_intervals([inside], seed=seed)
        difference = float(inside.mean() - outside.mean())
        slices.append(
            Slice(
                column=name,
                value=value,
                num_examples=int(rows.sum()),
                score=score,
                difference=difference,
                p_value=min(1.0, _welch(inside, outside) * len(found)),
            )
        )
    worse = 1 if metric != "mae" else -1
    slices.sort(key=lambda s: worse * s.score.value)
    (overall,) = mean_intervals([points], seed=seed)
    return SliceReport(evaluation.split, metric, overall, tuple(slices), least, left_out)


def _first_head(model: TransferModel, pixels: tf.Tensor) -> np.ndarray:
    logits = model.forward_logits(pixels)
    return np.asarray(by_head(model.heads, logits)[model.heads[0].name])


def _outputs(model: TransferModel, logits: np.ndarray) -> np.ndarray:
    if len(model.heads) == 1:
        return np.asarray(model.outputs_from_logits(logits))
    # The other heads' answers are not needed, only their places.
    rows = {head.name: np.zeros((len(logits), len(head.class_names))) for head in model.heads}
    rows[model.heads[0].name] = logits
    return np.asarray(model.outputs_from_logits(rows)[model.heads[0].name])


def _welch(inside: np.ndarray, outside: np.ndarray) -> float:
    if min(len(inside), len(outside)) < 2:
        return 1.0
    sides = [(side.mean(), side.std(ddof=1), len(side)) for side in (inside, outside)]
    if all(spread == 0 for _, spread, _ in sides):
        return 1.0 if inside[0] == outside[0] else 0.0
    return float(ttest_ind_from_stats(*sides[0], *sides[1], equal_var=False).pvalue)


def _categories(values: Sequence[Any]) -> list[str]:
    """Turn a column into categories: numbers with many values by quartile, the rest as text."""
    try:
        numbers = np.array([np.nan if v in (None, "") else float(v) for v in values])
    except (TypeError, ValueError):
        numbers = np.full(len(values), np.nan)
    known = np.isfinite(numbers)
    if len(np.unique(numbers[known])) <= _MANY_VALUES:
        return ["(empty)" if v in (None, "") else str(v) for v in values]
    cuts = np.quantile(numbers[known], [0, 0.25, 0.5, 0.75, 1])
    place = np.clip(np.searchsorted(cuts, numbers, side="right") - 1, 0, 3)
    return [
        f"{cuts[p]:.4g} to {cuts[p + 1]:.4g}" if fine else "(empty)"
        for p, fine in zip(place, known, strict=True)
    ]
