"""Points of many runs as flat arrays, run after run, and as batches for fits that do not hold them all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isoflop.errors import StoreError, nearest
from isoflop.runs.part import Part
from isoflop.runs.part_file import to_floats
from isoflop.runs.points import RUN, Columns
from isoflop.runs.where import named

if TYPE_CHECKING:
    import pyarrow as pa

    from isoflop.runs.store import RunStore

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Points:
    """Points of runs, in the order of the runs' ids and, within a run, as they were logged.

    Attributes:
        runs: one row a run, as :meth:`isoflop.RunStore.table` gives it.
        offsets: shape (n_runs + 1,): the points of run i stand at ``offsets[i]`` to ``offsets[i + 1]``.
        columns: shape (n_points,) each, NaN where a point lacks a value.
    """

    runs: pa.Table
    offsets: NDArray[np.int64]
    columns: Mapping[str, Array]

    def __len__(self) -> int:
        """Number of runs."""
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Columns:
        """The points of a run, without a copy."""
        begin, end = self.offsets[index : index + 2].tolist()
        return {name: values[begin:end] for name, values in self.columns.items()}


def read_points(store: RunStore, columns: Sequence[str] | None, where: object) -> Points:
    """See :meth:`isoflop.RunStore.points`."""
    runs = store.table(where)
    chosen = _Chosen.of(store, runs)
    names = chosen.columns if columns is None else _known(columns, chosen.columns if runs.num_rows else columns)
    found = [(part.ids[mine], np.diff(part.offsets)[mine]) for part, mine in chosen.parts]
    found.append(
        (np.array(list(chosen.apart), np.bytes_), np.array([_length(run) for run in chosen.apart.values()], int))
    )
    ids, counts = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    flat = {name: np.empty(int(counts.sum())) for name in names}
    end = 0
    for _, stretch in chosen.stretches(names):
        begin, end = end, end + _length(stretch)
        for name, values in stretch.items():
            flat[name][begin:end] = values
    order = np.argsort(ids)
    offsets = np.concatenate([[0], np.cumsum(counts[order])])
    if not np.array_equal(order, np.arange(len(order))):
        begins = np.cumsum(counts) - counts
        rows = np.arange(offsets[-1]) + np.repeat(begins[order] - offsets[:-1], counts[order])
        flat = {name: values[rows] for name, values in flat.items()}
    return Points(runs, offsets, flat)


def read_batches(store: RunStore, columns: Sequence[str], where: object) -> Iterator[dict[str, NDArray[Any]]]:
    """See :meth:`isoflop.RunStore.batches`."""
    runs = store.table(where)
    chosen = _Chosen.of(store, runs)
    logged = [name for name in columns if name in chosen.columns]
    fields = {name: to_floats(runs[_field(name, chosen, runs)]) for name in columns if name not in logged}
    for of, stretch in chosen.stretches(logged):
        batch = {RUN: of, **stretch, **{name: values[of] for name, values in fields.items()}}
        whole = np.logical_and.reduce([np.ones(len(of), bool), *(~np.isnan(batch[name]) for name in columns)])
        yield {name: values[whole] for name, values in batch.items()}


@dataclass(frozen=True)
class _Chosen:
    """Runs of a table, where their points are.

    Attributes:
        ids: shape (n_runs,), sorted.
        parts: with, for each, which of its runs are among them.
        apart: points of those that have a folder of their own.
    """

    ids: NDArray[np.bytes_]
    parts: Sequence[tuple[Part, NDArray[np.bool_]]]
    apart: Mapping[str, Columns]

    @classmethod
    def of(cls, store: RunStore, runs: pa.Table) -> _Chosen:
        ids = np.array(runs["id"].to_pylist() if runs.num_rows else [], np.bytes_)
        parts = [(part, np.isin(part.ids, ids)) for part in store.compacted.parts()]
        compacted = np.concatenate([ids[:0], *(part.ids[mine] for part, mine in parts)])
        apart = [run.decode() for run in np.setdiff1d(ids, compacted).tolist()]
        return cls(ids, parts, {run: store.points_of(run) for run in apart})

    @property
    def columns(self) -> list[str]:
        """Of all points."""
        names = [part.columns for part, mine in self.parts if mine.any()]
        return list(dict.fromkeys(chain(*names, *self.apart.values())))

    def stretches(self, names: Sequence[str]) -> Iterator[tuple[NDArray[np.int64], Columns]]:
        """Points a row group at a time, and last those apart: the place of each point's run in ``ids``, and columns."""
        for part, mine in self.parts:
            places = np.searchsorted(self.ids, part.ids)
            for of, stretch in _row_groups(part, mine, names):
                yield places[of], stretch
        counts = [_length(run) for run in self.apart.values()]
        places = np.searchsorted(self.ids, np.array(list(self.apart), np.bytes_))
        runs = list(zip(self.apart.values(), counts, strict=True)) if any(counts) else []
        columns = {
            name: np.concatenate([run.get(name, np.full(length, np.nan)) for run, length in runs])
            for name in names if runs
        }  # fmt: skip
        if columns:
            yield np.repeat(places, counts), columns


def _row_groups(
    part: Part, mine: NDArray[np.bool_], names: Sequence[str]
) -> Iterator[tuple[NDArray[np.int64], Columns]]:
    """The row groups with points of the runs that are ``mine``: the run of each such point in the part, and columns."""
    begin = 0
    for group, end in enumerate(part.rows.ends.tolist()):
        first = int(np.searchsorted(part.offsets, begin, side="right")) - 1
        last = int(np.searchsorted(part.offsets, end))
        lengths = np.diff(part.offsets[first : last + 1].clip(begin, end))
        begin = end
        if not mine[first:last].any():
            continue
        table = part.rows.group(group, [name for name in names if name in part.columns])
        rows = np.repeat(mine[first:last], lengths)
        of = np.repeat(np.arange(first, last), lengths)
        absent = np.full(len(of), np.nan)
        columns = {name: to_floats(table[name]) if name in table.column_names else absent for name in names}
        some = not rows.all()
        yield of[rows] if some else of, {name: column[rows] for name, column in columns.items()} if some else columns


def _length(columns: Columns) -> int:
    return len(next(iter(columns.values()), ()))


def _known(names: Sequence[str], known: Sequence[str]) -> list[str]:
    if isinstance(names, str):
        raise StoreError(f"columns must be a list, got {names!r}", hint="points_of(run) gives the points of one run")
    for name in names:
        if name not in known:
            raise StoreError(f"no run has points with a column {name!r}", hint=nearest(name, known))
    return list(names)


def _field(name: str, chosen: _Chosen, runs: pa.Table) -> str:
    return named(name, [*runs.column_names, *chosen.columns])
