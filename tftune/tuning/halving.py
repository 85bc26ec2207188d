"""A trial that does not fit into memory is tried once more, with half as many examples a step."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

import tensorflow as tf

from tftune.config.plan import Plan
from tftune.training.phase import first_batch_size

T = TypeVar("T")


def halved_once(
    run: Callable[[Plan], T], plan: Plan, num_examples: int
) -> tuple[T, Plan, list[str]]:
    """Run a trial by a plan; where memory runs out, once more with its last phase's batch halved.

    Args:
        run: runs the trial; the last phase of the plan it gets has a number as batch size.
        plan: what was asked for.
        num_examples: how many examples there are to train on.

    Returns:
        What `run` gave, the plan it went by, and what the reader should know about it.

    Raises:
        tf.errors.ResourceExhaustedError: if half does not fit either.
    """
    size = first_batch_size(plan.phases[-1], num_examples)
    try:
        first = _with_batch_size(plan, size)
        return run(first), first, []
    except tf.errors.ResourceExhaustedError:
        if size == 1:
            raise
    gc.collect()  # what the first try held
    second = _with_batch_size(plan, size // 2)
    note = f"{size} examples a step did not fit into memory, so it took {size // 2}"
    return run(second), second, [note]


def _with_batch_size(plan: Plan, size: int) -> Plan:
    last = plan.phases[-1].replace(batch_size=size)
    return plan.replace(phases=(*plan.phases[:-1], last))
