"""Running a frozen trunk once over examples and keeping what comes out."""

from __future__ import annotations

import itertools
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import numpy as np

from tftune.cache.activations import Activations, PassReport
from tftune.cache.engines import Engine, EngineChoice, RunnableTrunk, choose_engine, engine_for
from tftune.cache.keys import DTYPES, engine_folder
from tftune.cache.store import ActivationStore, Rows
from tftune.config.image_input import ImageInput
from tftune.config.text_input import TextInput
from tftune.data.bad_files import bad_files_named
from tftune.data.pipeline import input_batches
from tftune.errors import check_choice

Progress = Callable[[int, int], None]
"""Called with (examples done, examples in all)."""

Batches = Callable[[Any, int], Iterable[Any]]
"""Called with (examples, batch size); gives inputs of the trunk, in the examples' order."""


class FrozenTrunk(RunnableTrunk, Protocol):
    """What a trunk must offer to be cached."""

    @property
    def boundary(self) -> str:
        """Name of the layer whose output the boundary is."""

    @property
    def contract(self) -> ImageInput | TextInput:
        """How an image or text becomes the input."""

    @property
    def fingerprint(self) -> str:
        """A digest of everything that decides the activations."""

    def lengths(self, examples: Any) -> np.ndarray | None:
        """Count what each example makes the trunk compute; None where all cost the same."""


class Identified(Protocol):
    """Inputs that can be told apart by content."""

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """A digest of each example's content."""

    def take(self, indices: np.ndarray) -> Any:
        """Return the chosen examples, in the order given."""

    def __len__(self) -> int: ...


def boundary_activations(
    trunk: FrozenTrunk,
    examples: Identified,
    dtype: str = "float32",
    batch_size: int = 32,
    store: ActivationStore | None = None,
    on_progress: Progress | None = None,
    *,
    view: str = "",
    batches: Batches | None = None,
    engine: str = "auto",
) -> Activations:
    """Return the trunk's output on every example; what is not in the cache is computed.

    Rows are addressed by the trunk, the dtype, the view and the example's own content, so subsets,
    other orders and other runs find them. They are written while the pass runs: after a kill the
    next call computes only what is missing.

    Args:
        trunk: the frozen part of a network.
        examples: the inputs.
        dtype: how activations are stored, "float32" or "float16".
        batch_size: examples a step of the pass.
        store: the cache; the default one if None.
        on_progress: told how far the pass is; not called when nothing needs to be computed.
        view: what decides a random augmentation (policy, seed, number of the view), or "" for none.
        batches: reads the inputs; by the trunk's contract if None, which a trunk that begins above
            the pixels must not have. It is called with those examples that are missing, so a random
            augmentation must depend on `view` and an example's content, not on its position.
        engine: "auto", "tensorflow" or "litert"; see `engine_for`.

    Returns:
        Shape (num_examples, *boundary shape), of `dtype`, in the examples' order. Its `report` says
        what was computed and with which engine.

    Raises:
        CacheFullError: if the disk or the budget has no room; finished shards stay.
        CacheError: if the cache cannot be written to, or `dtype` is too small for the values.
        ConfigError: if `dtype` or `engine` is another one.
    """
    started = time.perf_counter()
    check_choice("dtype", dtype, DTYPES)
    store = store or ActivationStore()
    fingerprints = examples.fingerprints
    row_shape = tuple(trunk.keras_model.output_shape[1:])
    rows = store.open(trunk.fingerprint, dtype, view, _about(trunk))
    missing = rows.missing(fingerprints)
    name = reason = ""
    if len(missing):
        lengths = trunk.lengths(examples.take(missing))
        if lengths is not None:  # texts of like length share a batch, so that few are padded much
            missing = missing[np.argsort(lengths, kind="stable")]
        store.make_room(len(missing) * required_bytes(trunk, 1, dtype))
        if batches is None:
            inputs = input_batches(examples.take(missing), trunk.contract, batch_size)
        else:
            inputs = batches(examples.take(missing), batch_size)
        with bad_files_named(examples):
            name, reason = _run(trunk, inputs, rows, fingerprints, missing, on_progress, engine)
    report = PassReport(
        engine=name,
        reason=reason,
        computed=len(missing),
        reused=len(fingerprints) - len(missing),
        seconds=time.perf_counter() - started,
    )
    return rows.activations(fingerprints, row_shape, report)


def required_bytes(trunk: RunnableTrunk, num_examples: int, dtype: str = "float32") -> int:
    """Return the bytes that the activations of so many examples take on disk."""
    shape = trunk.keras_model.output_shape[1:]
    return num_examples * math.prod(side or 1 for side in shape) * np.dtype(dtype).itemsize


def planned_engine(
    trunk: FrozenTrunk,
    examples: Identified,
    dtype: str = "float32",
    store: ActivationStore | None = None,
    view: str = "",
) -> tuple[EngineChoice, int]:
    """Say what a pass would run the trunk with, and on how many examples.

    Args:
        trunk: the frozen part of a network.
        examples: the inputs.
        dtype: how activations would be stored.
        store: the cache; the default one if None.
        view: what decides a random augmentation, or "" for none.

    Returns:
        The choice, and the number of examples that are not in the cache.
    """
    store = store or ActivationStore()
    folder = store.trunk_folder(trunk.fingerprint)
    if folder.is_dir():
        rows = store.open(trunk.fingerprint, dtype, view)
        count = len(rows.missing(examples.fingerprints))
    else:  # asking must not leave an empty folder
        count = len(set(examples.fingerprints))
    kept = engine_folder(folder, getattr(trunk, "begins_at", ""))
    return choose_engine(trunk, count, kept), count


def _run(
    trunk: FrozenTrunk,
    inputs: Iterable[Any],
    rows: Rows,
    fingerprints: tuple[str, ...],
    missing: np.ndarray,
    on_progress: Progress | None,
    asked: str,
) -> tuple[str, str]:
    counts = Counter(fingerprints)
    total = len(fingerprints)
    computed = [fingerprints[position] for position in missing]
    done = total - sum(counts[fingerprint] for fingerprint in computed)
    place = 0
    iterator = iter(inputs)
    first = next(iterator)
    kept = engine_folder(rows.folder.parent, getattr(trunk, "begins_at", ""))
    engine = engine_for(trunk, first, len(missing), kept, asked)
    with rows.writer() as writer:
        for outputs in _one_ahead(engine, itertools.chain([first], iterator)):
            own = computed[place : place + len(outputs)]
            writer.add(outputs, own)
            place += len(outputs)
            done += sum(counts[fingerprint] for fingerprint in own)
            if on_progress:
                on_progress(done, total)
    return engine.name, engine.reason


def _one_ahead(engine: Engine, batches: Iterable[Any]) -> Iterator[np.ndarray]:
    """Run batches in order, each begun before the one before it is handed on."""
    begun: Callable[[], np.ndarray] | None = None
    iterator = iter(batches)
    while True:
        try:
            batch = next(iterator, None)
        except Exception:
            if begun is not None:  # what can be kept is
                yield begun()
            raise
        following = engine.start(batch) if batch is not None else None
        if begun is not None:
            yield begun()
        if following is None:
            return
        begun = following


def _about(trunk: FrozenTrunk) -> dict[str, Any]:
    shape = "x".join(str(side) for side in trunk.keras_model.output_shape[1:])
    about = {
        "backbone": getattr(trunk, "backbone", ""),
        "boundary": trunk.boundary,
        "shape": shape,
    }
    if isinstance(trunk.contract, TextInput):
        return about
    size = "x".join(str(side) for side in trunk.contract.image_size)
    return {**about, "image_size": size}
