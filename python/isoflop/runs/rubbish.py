"""What nothing needs any more: files that were replaced, or left half-written or undeleted by a kill."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING

from isoflop.errors import StoreError
from isoflop.runs.files import explained
from isoflop.runs.folder import LEASE, is_half_written
from isoflop.runs.local_run import ARRIVING
from isoflop.runs.manifest import read_manifest
from isoflop.runs.together import together

if TYPE_CHECKING:
    from isoflop.runs.store import RunStore


def find_rubbish(store: RunStore) -> list[str]:
    """Files, named from the folder of the store, that can be removed while no process compacts it.

    Raises:
        StoreError: the manifest is damaged.
    """
    folder = store.compacted.folder
    found = [f"compacted/{name}" for name in sorted(set(folder.names()) - read_manifest(folder).names)]
    found += [name for name in store.root.names() if name.startswith(ARRIVING) or is_half_written(name)]
    compacted = set(store.compacted.ids())

    def needless(run: str) -> list[str]:
        inside = store.run(run)
        names = inside.names()
        if not names or inside.is_held():
            return []
        if run in compacted:
            return [*inside.kept(), *inside.half_written()]
        return inside.half_written() if names != [LEASE] else names

    runs = store.folders()
    for run, names in zip(runs, together(needless, runs), strict=True):
        found += [f"runs/{run}/{name}" for name in names]
    return found


def remove(store: RunStore, files: Iterable[str]) -> int:
    """Remove files of a store, and the folders of runs that are empty then; returns how many bytes they took.

    A run that a process holds is left alone.

    Raises:
        StoreError: the disk refuses.
    """
    freed = 0
    for folder, inside in groupby(files, key=lambda file: file.rpartition("/")[0]):
        names = [file.rpartition("/")[2] for file in inside]
        if folder.startswith("runs/"):
            freed += store.run(folder.removeprefix("runs/")).clear(names)
            continue
        around = store.root.sub(folder) if folder else store.root
        for name in names:
            if name.startswith(ARRIVING):
                around.remove_folder(name)
            else:
                freed += around.size(name)
                around.remove(name)
    return freed


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
    lease = store.root.take(LEASE)
    if lease is None:
        raise StoreError(f"{store.url} is being compacted by another process", hint="wait until that has ended")
    try:
        yield
    finally:
        lease.release()
