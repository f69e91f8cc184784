"""All runs of a store, each once: those compacted, and those with a folder of their own."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from typing import TYPE_CHECKING, Any

from isoflop.runs.part import Part
from isoflop.runs.record import RunRecord
from isoflop.runs.rows import joined, row_of, to_table
from isoflop.runs.together import together
from isoflop.runs.where import select

if TYPE_CHECKING:
    import pyarrow as pa

    from isoflop.runs.store import RunStore


def every(store: RunStore) -> Iterator[RunRecord]:
    """Every run's record, in the order of their ids."""
    apart, parts = _parted(store)
    compacted = merge(*(part.records() for part in parts), key=_id)
    yield from merge(compacted, filter(None, together(store.get, apart)), key=_id)


def table_of(store: RunStore, where: object) -> pa.Table:
    """See :meth:`isoflop.RunStore.table`."""

    def row(run: str) -> dict[str, Any] | None:
        record = store.get(run)
        return None if record is None else row_of(record, store.state(record))

    apart, parts = _parted(store)
    rows = to_table(list(filter(None, together(row, apart))))
    table = joined([rows, *(part.table() for part in parts)])
    return select(table.sort_by("id") if parts else table, where)


def _parted(store: RunStore) -> tuple[list[str], list[Part]]:
    """Runs that are in a folder alone, and the parts that hold the others."""
    loose = store.loose()  # first: a run that leaves its folder later has been published before
    parts = store.compacted.parts()
    return [run for run in loose if all(part.index(run) is None for part in parts)], parts


def _id(record: RunRecord) -> str:
    return record.id
