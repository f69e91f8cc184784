"""Whether a store is whole: what is wrong with it, what would mend that, and the mending."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from isoflop.errors import NewerFormat, StoreError
from isoflop.runs.folder import LEASE, POINTS
from isoflop.runs.manifest import File, PartFiles, read_manifest
from isoflop.runs.part import Part
from isoflop.runs.points import read_lines
from isoflop.runs.record import read_record, run_id
from isoflop.runs.rubbish import alone, find_rubbish, remove

if TYPE_CHECKING:
    from isoflop.runs.store import RunStore

REMOVE, CUT, ASIDE, COPY = (
    "remove it",
    "cut it after its last whole line",
    "move the folder of the run to damaged/; the run will be made again",
    "bring it back from a copy of the store",
)
"""What mends a problem; the last is not in our hands."""


@dataclass(frozen=True)
class Problem:
    """Something that is wrong in a store.

    Attributes:
        file: where, from the folder of the store.
        what: is wrong.
        cure: what would mend it.
        mended: whether that was done.
    """

    file: str
    what: str
    cure: str
    mended: bool = False


def verify(store: RunStore, *, mend: bool = False) -> list[Problem]:
    """What is wrong with a store, or nothing; a run that a process is writing is left out.

    Args:
        store: every compacted file is read, and every folder of a run.
        mend: do what each cure says, but for files that must come from a copy of the store.

    Raises:
        StoreError: another process compacts the store (``mend``), or the disk refuses.
        NewerFormat: something in it was written by a newer version.
    """
    with alone(store) if mend else nullcontext():
        problems = list(_problems(store))
        return [replace(problem, mended=_mend(store, problem)) for problem in problems] if mend else problems


def _problems(store: RunStore) -> Iterator[Problem]:
    compacted = list(_of_compacted(store))
    yield from compacted
    known = None if compacted else set(store.compacted.ids())
    if known is not None:
        replaced = {f"compacted/{name}" for name in read_manifest(store.compacted.folder).replaced}
        for file in find_rubbish(store):
            if file not in replaced:
                yield Problem(file, "nothing needs it", REMOVE)
    for run in store.folders():
        yield from _of_run(store, run, known)


def _of_compacted(store: RunStore) -> Iterator[Problem]:
    try:
        manifest = read_manifest(store.compacted.folder)
    except NewerFormat:
        raise
    except StoreError as error:
        yield Problem("compacted/manifest.json", error.message, COPY)
        return
    wrong = [problem for files in manifest.parts for problem in _of_part(store, files)]
    yield from wrong
    if not wrong:
        ids = store.compacted.ids()
        for run in sorted({run for run, following in pairwise(ids) if run == following}):
            yield Problem("compacted/manifest.json", f"run {run} is in two parts", COPY)


def _of_part(store: RunStore, files: PartFiles) -> Iterator[Problem]:
    changed = [problem for file in (files.runs, files.points) if (problem := _of_file(store, file)) is not None]
    yield from changed
    if changed:
        return
    name = f"compacted/{files.runs.name}"
    try:
        part = Part(store.compacted.folder, files)
        ids = [run.decode() for run in part.ids.tolist()]
        for run, record in zip(ids, part.records(), strict=True):
            if record.id != run or run_id(record.spec) != run:
                yield Problem(name, f"the id of run {run} is not that of its spec", COPY)
        n_points = int(part.rows.ends[-1]) if len(part.rows.ends) else 0
        if ids != sorted(set(ids)) or len(ids) != files.n_runs or {n_points, files.n_points} != {part.offsets[-1]}:
            yield Problem(name, "its runs and points are not those of the manifest", COPY)
    except NewerFormat:
        raise
    except StoreError as error:
        yield Problem(name, error.message, COPY)


def _of_file(store: RunStore, file: File) -> Problem | None:
    name = f"compacted/{file.name}"
    content = store.compacted.folder.read(file.name)
    if content is None:
        return Problem(name, "it is missing", COPY)
    if len(content) != file.bytes:
        return Problem(name, f"it has {len(content)} bytes; {file.bytes} were written", COPY)
    if hashlib.sha256(content).hexdigest() != file.sha256:
        return Problem(name, "its SHA-256 is not that of what was written", COPY)
    return None


def _of_run(store: RunStore, run: str, compacted: Collection[str] | None) -> Iterator[Problem]:
    """Of what is in the folder of a run, where nobody holds it and it is not left of a compacted one."""
    folder = store.run(run)
    if (compacted is not None and run in compacted) or not (names := folder.names()) or folder.is_held():
        return
    try:
        record = read_record(folder)
        if record is None:
            if POINTS in names and compacted is not None:
                yield Problem(f"runs/{run}", "it has points and no record", ASIDE)
        elif record.id != run or run_id(record.spec) != run:
            yield Problem(f"runs/{run}", "its name is not the id of the spec in it", ASIDE)
        elif read_lines(folder) is not None and folder.is_torn():
            yield Problem(f"runs/{run}/{POINTS}", "its last line is torn", CUT)
    except NewerFormat:
        raise
    except StoreError as error:
        yield Problem(f"runs/{run}", error.message, ASIDE)


def _mend(store: RunStore, problem: Problem) -> bool:
    """Whether it could be."""
    if problem.cure == REMOVE:
        remove(store, [problem.file])
        return problem.file not in find_rubbish(store)
    if problem.cure == COPY:
        return False
    run = problem.file.split("/")[1]
    folder = store.run(run)
    if (lease := folder.take(LEASE)) is None:  # somebody took the run up meanwhile
        return False
    try:
        if problem.cure == CUT:
            folder.cut()
        else:
            taken = sum(name.startswith(run) for name in store.root.sub("damaged").names())
            store.root.move_folder(f"runs/{run}", f"damaged/{run}.{taken}" if taken else f"damaged/{run}")
    finally:
        lease.release()
    return True
