"""Ends that are said of a run from outside: it was stopped for good, or another run took its place."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from isoflop.errors import RunTaken
from isoflop.runs.compaction import rewrite
from isoflop.runs.folder import LEASE
from isoflop.runs.record import ENDED, RunRecord, to_json
from isoflop.runs.rubbish import alone

if TYPE_CHECKING:
    from isoflop.runs.store import RunStore

End = Literal["killed", "superseded"]


def mark(store: RunStore, prefix: str, end: End, why: str) -> RunRecord:
    """Say that a run was killed, or is superseded; it stays in the store, out of fits, and is not made again.

    Args:
        store: where it is.
        prefix: the start of its id.
        end: ``killed`` of a run that has not ended, ``superseded`` of any.
        why: stands in the record as its ``error``.

    Raises:
        RunTaken: it has ended (``killed``), or somebody writes it.
        StoreError: no run or several runs are called so; another process compacts the store.
    """
    with alone(store):
        record = store.find(prefix)
        if end == "killed" and record.status in ENDED:
            raise RunTaken(f"run {record.id} is {record.status} already", hint="a run that has ended can be superseded")
        ended = record.ended or datetime.now(UTC).isoformat(timespec="seconds")
        marked = msgspec.structs.replace(record, status=end, error=why, ended=ended)
        if (found := store.compacted.find(record.id)) is not None:
            part, _ = found
            held = next(run for run in part.runs() if run.id == record.id)
            rewrite(store, part, replace(held, state=end, record=msgspec.json.encode(marked)))
            return marked
        folder = store.run(record.id)
        lease = folder.take(LEASE)
        if lease is None:
            raise RunTaken(f"run {record.id} is being written by another process", hint="stop it first")
        try:
            folder.write_record(marked.attempt, to_json(marked))
        finally:
            lease.release()
    return marked
