"""Judging a run: the same validation examples under every set of weights it considered."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tftune.builders.heads import by_head, outputs_from_logits
from tftune.config.model_spec import TAGS, HeadSpec
from tftune.data.dataset import Split
from tftune.evaluation.paired import SURE, excludes_zero, mcnemar, mean_intervals
from tftune.evaluation.scores import headline_scores
from tftune.results.evaluation import Interval
from tftune.results.verdict import Verdict
from tftune.training.run_state import PhaseRecord


def judge_heads(
    heads: Sequence[HeadSpec],
    records: Sequence[PhaseRecord],
    split: Split,
    from_scratch: Any = None,
    baselines: Mapping[str, Mapping[str, np.ndarray]] | None = None,
) -> Verdict:
    """Judge every head of a run by itself, on the validation examples whose label is known.

    Args:
        heads: the model's.
        records: the run's phases, in order.
        split: the validation split.
        from_scratch: validation logits of the same network trained from random weights.
        baselines: validation logits of simpler methods by name, and in it by head name.

    Returns:
        The first head's verdict, see `judge`; it holds those of the others.
    """
    verdicts = []
    for head, target in zip(heads, split.targets, strict=True):
        of_head = [
            PhaseRecord(
                record.label,
                logits={k: by_head(heads, v)[head.name] for k, v in record.logits.items()},
            )
            for record in records
        ]
        found = judge(
            of_head,
            target.labels,
            head.task,
            functools.partial(_values, head),
            None if from_scratch is None else by_head(heads, from_scratch)[head.name],
            baselines={
                n: each[head.name] for n, each in (baselines or {}).items() if head.name in each
            },
        )
        if len(heads) > 1:
            found = replace(found, head=head.name, sentence=f"{head.name}: {found.sentence}")
        verdicts.append(found)
    return replace(verdicts[0], others=tuple(verdicts[1:]))


def judge(
    records: Sequence[PhaseRecord],
    labels: np.ndarray,
    task: str,
    answers: Callable[[np.ndarray], np.ndarray] = np.asarray,
    from_scratch: np.ndarray | None = None,
    seed: int = 0,
    baselines: Mapping[str, np.ndarray] | None = None,
) -> Verdict:
    """Compare what a run kept with the head on frozen features, for one head.

    Args:
        records: the run's phases, in order.
        labels: of the validation split, as its target holds them.
        task: the head's task.
        answers: turns logits into values in the labels' own units; used for a regression.
        from_scratch: validation logits of the same network trained from random weights.
        seed: of the bootstrap.
        baselines: validation logits of simpler methods by name.

    Returns:
        The verdict. For a multiclass head, "certain" means that McNemar's exact test on the same
        examples gives less than 0.05; otherwise, that the paired bootstrap's interval excludes 0.
    """
    candidates = {"probe": records[0].logits["kept"]}
    if len(records) > 1:
        for name in ("fine-tuned", "interpolated"):
            if name in records[-1].logits:
                candidates[name] = records[-1].logits[name]
    if from_scratch is not None:
        candidates["from scratch"] = from_scratch
    candidates.update(baselines or {})
    kept = records[-1].logits["kept"]
    if task == "regression":
        candidates = {name: answers(logits) for name, logits in candidates.items()}
        kept = answers(kept)
    known = labels >= 0 if task == "multiclass" else np.isfinite(labels).any(axis=1)
    if task == TAGS:
        known = (labels >= 0).any(axis=1)
    labels = labels[known]
    points = {name: _points(logits[known], labels, task) for name, logits in candidates.items()}
    before, after = points["probe"], _points(kept[known], labels, task)
    *intervals, gain = mean_intervals([*points.values(), after - before], seed=seed)
    scores = dict(zip(points, intervals, strict=True))
    p_value = mcnemar(before, after) if task == "multiclass" else None
    sure = p_value < SURE if p_value is not None else excludes_zero(gain)
    metrics = {"multiclass": "accuracy", "multilabel": "label accuracy", TAGS: "word accuracy"}
    metric = metrics.get(task, "negative error")
    sentence = _sentence(scores, _mean(after), gain, sure, p_value, len(records) > 1, metric)
    for name in baselines or ():
        better = "better" if scores[name].value > _mean(after) else "not better"
        sentence += f" {name} reaches {scores[name].value:.3f}, which is {better}."
    return Verdict(scores, metric, gain, p_value, len(labels), sentence)


def _values(head: HeadSpec, logits: np.ndarray) -> np.ndarray:
    return np.asarray(outputs_from_logits((head,), logits, {head.name: 1.0}))


def _points(logits: np.ndarray, labels: np.ndarray, task: str) -> np.ndarray:
    """Return what each example adds to the score, shape (num_examples,)."""
    if task == "multiclass":
        return (logits.argmax(axis=1) == labels).astype(float)
    if task == "multilabel":
        right = np.where(np.isfinite(labels), (logits > 0) == (labels > 0.5), np.nan)
        return np.nanmean(right, axis=1)
    if task == TAGS:
        return headline_scores(logits, labels, task)[1]
    return -np.nanmean(np.square(logits - labels), axis=1)


def _mean(values: np.ndarray) -> float:
    return float(values.mean())


def _sentence(
    scores: Mapping[str, Interval],
    kept: float,
    gain: Interval,
    sure: bool,
    p_value: float | None,
    fine_tuned: bool,
    metric: str,
) -> str:
    probe = scores["probe"]
    if not fine_tuned:
        told = f"The head alone reaches {probe} validation {metric}."
    else:
        by = f"{metric} {kept:.3f} against {probe.value:.3f} with the head alone"
        by += f", a difference of {gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
        by += f", p = {p_value:.2g}" if p_value is not None else ""
        if gain.value > 0 and sure:
            told = f"Fine-tuning helped: validation {by}."
        elif gain.value > 0:
            told = f"Fine-tuning may have helped, but this is not certain: validation {by}."
        elif gain.value < 0 and sure:
            told = f"Fine-tuning harmed: validation {by}."
        else:
            told = f"Fine-tuning did not help: validation {by}."
    if "from scratch" in scores:
        scratch = scores["from scratch"].value
        kind = "negative" if scratch > kept else "not negative"
        told += f" Transfer was {kind}: from scratch the same budget gave {scratch:.3f}."
    return told
