"""Compaction: ended runs, one folder each, become rows of a few sorted Parquet files.

New files are written beside the old ones; renaming the manifest into place publishes them; only then are the folders
of their runs removed, and what the new files replace stays until the next compaction, for readers that began before.
So whatever step is the last, every run is there, and readers take it once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isoflop.errors import StoreError
from isoflop.runs.folder import LEASE, POINTS, RECORD, Folder
from isoflop.runs.manifest import begin, publish, read_manifest
from isoflop.runs.part import HeldRun, Part
from isoflop.runs.part_writer import write_part
from isoflop.runs.points import RUN, read_lines
from isoflop.runs.record import ENDED, read_record
from isoflop.runs.rubbish import alone, find_rubbish, remove
from isoflop.runs.together import together

if TYPE_CHECKING:
    from isoflop.runs.store import RunStore

PART_BYTES = 2**28
"""What a part takes in memory: below it, a part is written anew with the runs that come."""


@dataclass(frozen=True)
class Compaction:
    """What a compaction did, and what there is after it.

    Attributes:
        runs: newly compacted.
        points: of them.
        left: runs that stay in folders of their own: running, interrupted, failed or damaged.
        damaged: what is wrong with each damaged one.
        files: of the compacted store, its manifest among them.
        bytes: that they take.
    """

    runs: int
    points: int
    left: int
    damaged: tuple[str, ...]
    files: int
    bytes: int


def compact(store: RunStore, *, part_bytes: int = PART_BYTES) -> Compaction:
    """Move the ended runs of a store into its compacted files.

    Raises:
        StoreError: another process compacts the store, its compacted files are damaged, or the disk refuses.
    """
    with alone(store):
        remove(store, find_rubbish(store))
        damaged: list[str] = []
        runs, points = add(store, _ended(store, damaged), part_bytes=part_bytes)
        folder = store.compacted.folder
        sizes = [folder.size(name) for name in folder.names()]
        return Compaction(runs, points, len(store.loose()), tuple(damaged), len(sizes), sum(sizes))


def add(store: RunStore, runs: Iterable[HeldRun], *, part_bytes: int = PART_BYTES) -> tuple[int, int]:
    """Publish ended runs as compacted and remove their folders; how many runs and points they were.

    The caller is :func:`alone`; ``runs`` are in the order of their ids.

    Raises:
        StoreError: the compacted files are damaged, or the disk refuses.
    """
    n_runs = n_points = 0
    for batch in _batches(runs, part_bytes):
        _publish_with(batch, store.compacted.folder, part_bytes)
        deque(together(lambda run: _clear(store, run.id), batch), maxlen=0)
        n_runs += len(batch)
        n_points += sum(run.n_points for run in batch)
    return n_runs, n_points


def read_ended(store: RunStore, run: str) -> HeldRun | None:
    """All that there is of an ended run in its folder, or None where it has not ended, or somebody holds it.

    Raises:
        StoreError: it is damaged.
    """
    folder = store.run(run)
    record = read_record(folder)
    if record is None or record.status not in ENDED or folder.is_held():
        return None
    if record.id != run:
        raise StoreError(f"{folder.url}/{RECORD} is of run {record.id}")
    points = read_lines(folder) or {}
    if RUN in points:
        raise StoreError(f"{folder.url}/{POINTS} has a column {RUN!r}, which is the name of the column of runs")
    earlier = [name for name in folder.kept() if name not in (RECORD, POINTS, LEASE)]
    return HeldRun.of(record, points, {name: (folder.read(name) or b"").decode() for name in earlier})


def _ended(store: RunStore, damaged: list[str]) -> Iterator[HeldRun]:
    """The ended runs with a folder of their own; what is wrong with the others goes to ``damaged``."""
    for read in together(lambda run: _read(store, run), store.loose()):
        if isinstance(read, StoreError):
            damaged.append(read.message)
        elif read is not None:
            yield read


def _read(store: RunStore, run: str) -> HeldRun | StoreError | None:
    try:
        return read_ended(store, run)
    except StoreError as error:
        return error


def _clear(store: RunStore, run: str) -> None:
    folder = store.run(run)
    folder.clear(folder.kept())


def _batches(runs: Iterable[HeldRun], part_bytes: int) -> Iterator[list[HeldRun]]:
    """As many runs at a time as a part holds."""
    batch: list[HeldRun] = []
    held = 0
    for run in runs:
        if batch and held + run.held > part_bytes:
            yield batch
            batch, held = [], 0
        batch.append(run)
        held += run.held
    if batch:
        yield batch


def rewrite(store: RunStore, part: Part, changed: HeldRun) -> None:
    """Publish a part in which a run is ``changed``; the caller is :func:`alone`.

    Raises:
        StoreError: the disk refuses.
    """
    folder = store.compacted.folder
    before = read_manifest(folder)
    runs = [changed if run.id == changed.id else run for run in part.runs()]
    others = [files for files in before.parts if files != part.files]
    publish(folder, before, [*others, write_part(folder, before.number + 1, runs)])


def _publish_with(batch: list[HeldRun], folder: Folder, part_bytes: int) -> None:
    """Publish a batch: in the smallest part if they fit together, else in one of its own."""
    begin(folder)
    before = read_manifest(folder)
    others = list(before.parts)
    smallest = min(others, key=lambda part: part.held, default=None)
    if smallest is not None and smallest.held + sum(run.held for run in batch) <= part_bytes:
        others.remove(smallest)
        batch = sorted([*Part(folder, smallest).runs(), *batch], key=lambda run: run.id)
    publish(folder, before, [*others, write_part(folder, before.number + 1, batch)])
