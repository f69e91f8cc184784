"""Compaction: ended runs, one folder each, become rows of a few sorted Parquet files.

New files are written beside the old ones; renaming the manifest into place publishes them; only then are the folders
of their runs removed, and what the new files replace stays until the next compaction, for readers that began before.
So whatever step is the last, every run is there, and readers take it once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from isoflop.errors import StoreError
from isoflop.runs.files import explained
from isoflop.runs.lease import Lease, is_held
from isoflop.runs.manifest import Manifest, publish, read_manifest
from isoflop.runs.part import RUN, HeldRun, Part
from isoflop.runs.part_writer import write_part
from isoflop.runs.points import read_lines
from isoflop.runs.record import ENDED, read_record

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
    """Move the finished and diverged runs of a store into its compacted files.

    Raises:
        StoreError: another process compacts the store, its compacted files are damaged, or the disk refuses.
    """
    with explained("lock", store.marker):
        lease = Lease.take(store.marker)
    if lease is None:
        raise StoreError(f"{store.path} is being compacted by another process", hint="wait until that has ended")
    try:
        return _compact(store, part_bytes)
    finally:
        lease.release()


def _compact(store: RunStore, part_bytes: int) -> Compaction:
    folder = store.compacted.folder
    for name in set(folder.names()) - read_manifest(folder).names:  # replaced last time, or left by a kill
        folder.remove(name)
    for name in {*store.compacted.ids()} & {*store.folders()}:
        _forget(store.folder(name))
    runs, points, damaged = 0, 0, list[str]()
    for batch in _batches(store, part_bytes, damaged):
        publish(folder, _with(batch, store, part_bytes))
        for run in batch:
            _forget(store.folder(run.id))
        runs += len(batch)
        points += sum(run.n_points for run in batch)
    names = folder.names()
    n_bytes = sum((folder.path / name).stat().st_size for name in names)
    return Compaction(runs, points, len(store.loose()), tuple(damaged), len(names), n_bytes)


def _batches(store: RunStore, part_bytes: int, damaged: list[str]) -> Iterator[list[HeldRun]]:
    """Ended runs that no process writes, in the order of their ids, as many at a time as a part holds."""
    batch: list[HeldRun] = []
    held = 0
    for run in store.loose():
        try:
            ended = _read(store.folder(run))
        except StoreError as error:
            damaged.append(error.message)
            continue
        if ended is None:
            continue
        if batch and held + ended.held > part_bytes:
            yield batch
            batch, held = [], 0
        batch.append(ended)
        held += ended.held
    if batch:
        yield batch


def _read(folder: Path) -> HeldRun | None:
    """All that there is of an ended run, or None where it has not ended.

    Raises:
        StoreError: it is damaged.
    """
    record = read_record(folder / "run.json")
    if record is None or record.status not in ENDED or is_held(folder / "lease"):
        return None
    if record.id != folder.name:
        raise StoreError(f"{folder / 'run.json'} is of run {record.id}")
    points = read_lines(folder / "points.jsonl") if (folder / "points.jsonl").exists() else {}
    if RUN in points:
        raise StoreError(f"{folder / 'points.jsonl'} has a column {RUN!r}, which is the name of the column of runs")
    attempts = {}
    for file in folder.glob("points.*.jsonl"):
        with explained("read", file):
            attempts[file.name] = file.read_text()
    return HeldRun.of(record, points, attempts)


def _with(batch: list[HeldRun], store: RunStore, part_bytes: int) -> Manifest:
    """The manifest with a batch in it: in the smallest part if they fit together, else in one of its own."""
    folder = store.compacted.folder
    manifest = read_manifest(folder)
    parts, number = list(manifest.parts), manifest.number + 1
    smallest = min(parts, key=lambda part: part.held, default=None)
    if smallest is not None and smallest.held + sum(run.held for run in batch) <= part_bytes:
        parts.remove(smallest)
        batch = sorted([*Part(folder, smallest).runs(), *batch], key=lambda run: run.id)
    return Manifest(number=number, parts=[*parts, write_part(folder, number, batch)])


def _forget(folder: Path) -> None:
    """Remove what the store keeps of a run in its folder, and the folder if nothing else is in it."""
    with explained("remove", folder):
        lease = Lease.take(folder / "lease")
        if lease is None:  # somebody asks whether the run has ended; the next compaction comes by again
            return
        try:
            for name in ("run.json", "points.jsonl", *(file.name for file in folder.glob("points.*.jsonl")), "lease"):
                (folder / name).unlink(missing_ok=True)
        finally:
            lease.release()
        if next(folder.iterdir(), None) is None:
            folder.rmdir()
