"""Deliveries that a recorder could not make itself: its store was away or full until its process had ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from isoflop.errors import StoreError
from isoflop.runs.files import explained, whole
from isoflop.runs.folder import LEASE, POINTS, RECORD
from isoflop.runs.lease import Lease
from isoflop.runs.record import ENDED
from isoflop.runs.spool import discard, spools_of

if TYPE_CHECKING:
    from isoflop.runs.store import RunStore


@dataclass
class Delivery:
    """What was delivered.

    Attributes:
        runs: ids of the runs that are whole now.
        waiting: of which recorders write, or that another process writes in the store: what waits goes on waiting.
        problems: what can't be delivered, and why.
    """

    runs: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def deliver(store: RunStore, run: str | None = None) -> Delivery:
    """Bring into a store what recorders on this machine could not bring, of all runs or of one.

    Raises:
        StoreError: the store still refuses, or what waits cannot be read.
    """
    done = Delivery()
    spools = spools_of(store)
    with explained("list", spools):
        found = sorted(path for path in spools.iterdir() if path.is_dir()) if spools.is_dir() else []
    for spool in found:
        name, _, attempt = spool.name.rpartition(".")
        if run in (None, name) and attempt.isdecimal():
            _deliver(store, name, int(attempt), spool, done)
    return done


def _deliver(store: RunStore, run: str, attempt: int, spool: Path, done: Delivery) -> None:
    with explained("read", spool):
        mine = Lease.take(spool / LEASE)
    folder = store.run(run)
    theirs = folder.take(LEASE) if mine is not None else None
    try:
        if mine is None or theirs is None:
            done.waiting.append(run)
            return
        record = store.get(run)
        if record is None or record.attempt != attempt:
            done.problems.append(f"run {run} was made anew meanwhile; attempt {attempt} stays in {spool}")
            return
        with explained("read", spool):
            if record.status not in ENDED:
                _bring(store, run, attempt, spool)
            discard(spool)  # else it had been delivered, and a kill came before its end
        done.runs.append(run)
    finally:
        for lease in (theirs, mine):
            if lease is not None:
                lease.release()


def _bring(store: RunStore, run: str, attempt: int, spool: Path) -> None:
    """The points that the store lacks, then the record."""
    folder = store.run(run)
    journal = folder.journal(attempt)
    try:
        for points in spool.glob(f"{Path(POINTS).stem}.*.jsonl"):
            begin = journal.length - int(points.suffixes[0][1:])
            if begin < 0:
                raise StoreError(f"the store lost {-begin} bytes of run {run} that come before those in {points}")
            if lacking := whole(points.read_bytes()[begin:]):
                journal.append(lacking)
        journal.sync()
    finally:
        journal.close()
    if (spool / RECORD).exists():
        folder.write_record(attempt, (spool / RECORD).read_bytes())
