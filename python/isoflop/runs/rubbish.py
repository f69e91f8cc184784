"""What nothing needs any more: files that were replaced, or left half-written or undeleted by a kill."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from isoflop.errors import StoreError
from isoflop.runs.files import explained
from isoflop.runs.lease import Lease, is_held
from isoflop.runs.manifest import read_manifest

if TYPE_CHECKING:
    from isoflop.runs.store import RunStore

LEASE = "lease"
ARRIVING = ".merge."
"""How folders begin in which runs of another store stand until they are whole."""


def find_rubbish(store: RunStore) -> list[Path]:
    """Files that can be removed while no process compacts the store.

    Raises:
        StoreError: the manifest is damaged.
    """
    folder = store.compacted.folder
    found = [folder.path / name for name in sorted(set(folder.names()) - read_manifest(folder).names)]
    found += sorted(store.path.glob(f"{ARRIVING}*"))
    compacted = set(store.compacted.ids())
    for run in store.folders():
        inside = store.folder(run)
        if not inside.is_dir() or is_held(inside / LEASE):
            continue
        names = sorted(file.name for file in inside.iterdir())
        if run in compacted:
            found += files_of_run(inside)
        elif names == [LEASE]:
            found.append(inside / LEASE)
        else:
            found += [inside / name for name in names if name.startswith(".") and name.endswith(".tmp")]
    return found


def files_of_run(folder: Path) -> list[Path]:
    """What the store keeps in the folder of a run, its record first and its lease last; others may keep more there."""
    names = ("run.json", "points.jsonl", *sorted(file.name for file in folder.glob("points.*.jsonl")), LEASE)
    return [folder / name for name in names if (folder / name).exists()]


def remove(store: RunStore, files: Iterable[Path]) -> int:
    """Remove files of a store, and the folders of runs that are empty then; returns how many bytes they took.

    A run that a process holds is left alone.

    Raises:
        StoreError: the disk refuses.
    """
    freed = 0
    for folder, inside in groupby(files, key=lambda file: file.parent):
        with explained("remove files from", folder):
            if folder == store.path:
                for arriving in inside:
                    shutil.rmtree(arriving)
            elif folder == store.compacted.folder.path:
                freed += sum(_unlink(file) for file in inside)
            elif folder.exists() and (lease := Lease.take(folder / LEASE)) is not None:
                try:
                    freed += sum(_unlink(file) for file in (*inside, folder / LEASE))
                finally:
                    lease.release()
                if next(folder.iterdir(), None) is None:
                    folder.rmdir()
    return freed


def _unlink(file: Path) -> int:
    size = file.stat().st_size if file.exists() else 0
    file.unlink(missing_ok=True)
    return size


def gc(store: RunStore, *, cache: bool = False) -> int:
    """Remove what nothing needs, and prepared corpora with ``cache``; returns the bytes that are free now.

    Raises:
        StoreError: another process compacts the store, or the disk refuses.
    """
    with alone(store):
        freed = remove(store, find_rubbish(store))
        if cache and store.cache.exists():
            with explained("remove", store.cache):
                freed += sum(file.stat().st_size for file in store.cache.rglob("*") if file.is_file())
                shutil.rmtree(store.cache)
    return freed


@contextmanager
def alone(store: RunStore) -> Iterator[None]:
    """Be the only process that changes the compacted files of a store.

    Raises:
        StoreError: another one does.
    """
    with explained("lock", store.marker):
        lease = Lease.take(store.marker)
    if lease is None:
        raise StoreError(f"{store.path} is being compacted by another process", hint="wait until that has ended")
    try:
        yield
    finally:
        lease.release()
