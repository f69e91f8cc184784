"""The first pass over a store: its points are counted, and few are taken, evenly over the logarithms of inputs."""

from __future__ import annotations

import collections
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import FitError
from isoflop.fitting.batches import Columns, Part
from isoflop.fitting.data import RUN
from isoflop.fitting.desk import Shelf
from isoflop.fitting.passes import Store, stretches
from isoflop.fitting.threads import in_threads

Array = NDArray[np.float64]

SIZE = 4096
"""Points of the sample: enough that the law fitted to them is one or two steps from the optimum."""

KEPT = 2**20
"""Points of a store that stay in memory, laid out, between passes: 24 MiB of two inputs and an output. Nodes of
condensed curves are fewer than points: those of 1e8 points, a thousand curves, fill a third of it."""

_LOOKED_AT = 1024
"""Of a chunk, evenly spaced."""
_POOL = 16 * SIZE
_CELLS = 4.0
"""Cells an e-fold of each input."""


@dataclass(frozen=True)
class Sample:
    """What the first pass found.

    Attributes:
        rows: columns (inputs + 1, n) of the sample, the output last.
        n_points: of the store.
        runs: points of each run, where runs weigh 1.
    """

    rows: Array
    n_points: int
    runs: dict[Any, int]


def take_sample(store: Store, size: int = SIZE) -> Sample:
    """Read a store once; the same store gives the same sample, whatever the threads do.

    Raises:
        FitError: there are no points, or a value that cannot be.
    """
    n_inputs = len(store.law.inputs)
    # what the points of a run weigh is known once all were counted
    shelf = store.shelf = Shelf(store.law, 0 if store.by_run else KEPT)

    def look(task: tuple[int, Part]) -> tuple[Array, int, dict[Any, int]]:
        number, part = task
        rows, counts, runs = [np.empty((n_inputs + 1, 0))], [0], collections.Counter[Any]()

        def take(columns: Columns, raw: Array) -> None:
            rows.append(raw[:, :: max(1, raw.shape[1] // _LOOKED_AT)].copy())
            counts.append(raw.shape[1])
            if store.by_run:
                for run, points in zip(*stretches(columns[RUN]), strict=True):
                    runs[run] += int(points)

        kept = [shelf.keep(laid) for _, laid in store.laid(part, None, look=take)]
        whole = [laid for laid in kept if laid is not None]
        if len(whole) == len(kept):
            store.kept[number] = whole
        return _spread(np.concatenate(rows, axis=1), n_inputs, size), sum(counts), dict(runs)

    pool, n_points, n_parts, runs = [np.empty((n_inputs + 1, 0))], 0, 0, collections.Counter[Any]()
    for rows, count, found in in_threads(look, store.parts()):
        pool.append(rows)
        if sum(some.shape[1] for some in pool) > _POOL:
            pool = [_spread(np.concatenate(pool, axis=1), n_inputs, _POOL // 4)]
        n_points += count
        runs.update(found)
        n_parts += 1
    if not n_points:
        anew = "a function of batches must make them anew at each call"
        raise FitError(f"{store.batches} has no points", hint=anew if callable(store.batches.source) else None)
    store.n_parts = n_parts
    return Sample(_spread(np.concatenate(pool, axis=1), n_inputs, size), n_points, dict(runs))


def _spread(rows: Array, n_inputs: int, size: int) -> Array:
    """At most ``size`` columns of rows (k, n): the first of every cell of the inputs' logarithms, then the second..."""
    if rows.shape[1] <= size:
        return rows
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(rows[:n_inputs])
    logs[~np.isfinite(logs).all(axis=1)] = 0.0
    cell = np.zeros(rows.shape[1], dtype=np.int64)
    for each in np.floor(_CELLS * logs).astype(np.int64):
        cell = cell * 1_000_003 + each
    order = np.argsort(cell, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], np.diff(cell[order]) != 0]))
    lengths = np.diff(np.append(starts, order.size))
    # of 16 bits, which are sorted in one go
    rank = np.empty(order.size, dtype=np.uint16)
    rank[order] = np.minimum(np.arange(order.size) - np.repeat(starts, lengths), np.iinfo(rank.dtype).max)
    chosen = np.argsort(rank, kind="stable")
    last = rank[chosen[size - 1]]
    whole = chosen[rank[chosen] < last]
    # of the rank that does not fit, some from everywhere
    rest = chosen[rank[chosen] == last]
    some = rest[np.linspace(0, rest.size - 1, size - whole.size).astype(np.int64)]
    return rows[:, np.sort(np.concatenate([whole, some]))]
