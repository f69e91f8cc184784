"""Runs from one store to another: merged, exported as one file, imported from it."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from isoflop.errors import StoreError
from isoflop.runs import manifest, marker
from isoflop.runs.compaction import add, read_ended
from isoflop.runs.files import explained
from isoflop.runs.folder import LEASE
from isoflop.runs.location import located
from isoflop.runs.part import HeldRun
from isoflop.runs.record import ENDED, decode_record, read_record, run_id
from isoflop.runs.rubbish import alone, gc
from isoflop.runs.store import RunStore
from isoflop.runs.studies import read_studies, write_study
from isoflop.runs.verification import verify

ARCHIVE = ".zip"
_ID = re.compile("[0-9a-f]{16}")


@dataclass
class Exchange:
    """What came over.

    Attributes:
        runs: that came.
        points: of those that had ended.
        known: runs that were there already, and the same.
        problems: runs and studies that did not come, and why: they are other ones here, are being written or damaged.
    """

    runs: int = 0
    points: int = 0
    known: int = 0
    problems: list[str] = field(default_factory=list)


def merge(store: RunStore, other: RunStore, where: object = None, *, unended: bool = True) -> Exchange:
    """Bring the runs of ``other`` that ``store`` lacks; what it has stays as it is.

    Args:
        store: where they come to.
        other: is only read.
        where: which runs, as for :meth:`isoflop.RunStore.points`.
        unended: bring failed and interrupted runs too.

    Raises:
        StoreError: both are one store, one is damaged, or another process compacts ``store``.
    """
    if store.url == other.url or store.path.resolve() == other.path.resolve():
        raise StoreError(f"{store.url} cannot be merged with itself")
    done = Exchange()
    with alone(store):
        table = other.table(where)
        chosen = set(table["id"].to_pylist()) if table.num_rows else set[str]()
        for part in other.compacted.parts():
            _take(store, (run for run in part.runs() if run.id in chosen), done)
        compacted = set(other.compacted.ids())
        apart = [run for run in other.loose() if run in chosen and run not in compacted]
        _take(store, _ended(other, apart, done), done)
        for run in apart if unended else ():
            _copy(store, other, run, done)
    _bring_studies(store, other, done)
    return done


def export(store: RunStore, target: str | Path, where: object = None) -> Exchange:
    """Write the ended runs of a store as another store: compacted in a new folder, or as one ``.zip`` file.

    Args:
        store: is only read.
        target: the folder, in an object store too, or the file; must not be there yet.
        where: which runs, as for :meth:`isoflop.RunStore.points`.

    Raises:
        StoreError: ``target`` is there, the store is damaged, or the disk refuses.
    """
    if not str(target).endswith(ARCHIVE):
        if located(target)[0].names():
            raise StoreError(f"{target} is there already", hint="give a new name")
        return _export(store, RunStore(target), where)
    target = Path(target)
    if target.exists():
        raise StoreError(f"{target} is there already", hint="give a new name")
    with explained("write", target), TemporaryDirectory(dir=target.absolute().parent, prefix=".export.") as folder:
        made = RunStore(Path(folder) / "store")
        done = _export(store, made, where)
        packed = Path(folder) / target.name
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            studies = sorted((made.path / "studies").glob("*.json"))
            for file in (made.path / marker.NAME, *sorted((made.path / "compacted").iterdir()), *studies):
                archive.write(file, str(file.relative_to(made.path)))
        packed.rename(target)
    return done


def import_archive(store: RunStore, archive: Path) -> Exchange:
    """Bring the runs of a ``.zip`` file of :func:`export` that ``store`` lacks.

    Raises:
        StoreError: it is no export, is damaged, or another process compacts ``store``.
        NewerFormat: it was written by a newer version.
    """
    with TemporaryDirectory() as folder:
        _unpack(archive, Path(folder))
        other = RunStore(folder, create=False)
        if problems := verify(other):
            raise StoreError(f"{archive} is damaged: {problems[0].what}", hint="export it once more")
        return merge(store, other)


def bring(store: RunStore, runs: Iterable[HeldRun]) -> Exchange:
    """Add ended runs that ``store`` lacks, as compacted; ``runs`` are in the order of their ids.

    Raises:
        StoreError: another process compacts ``store``, or the disk refuses.
    """
    done = Exchange()
    with alone(store):
        _take(store, runs, done)
    return done


def _unpack(archive: Path, folder: Path) -> None:
    """Write the files that an export has into ``folder``, and no others.

    Raises:
        StoreError: it is no export.
    """
    try:
        with explained("read", archive), zipfile.ZipFile(archive) as packed:
            for inside in ("compacted", "studies"):
                (folder / inside).mkdir()
            if marker.NAME not in packed.namelist():
                raise StoreError(f"{archive} is no export of a run store: it holds no {marker.NAME}")
            for entry in packed.infolist():
                inside, _, name = entry.filename.rpartition("/")
                known = {
                    "": name == marker.NAME,
                    "compacted": manifest.is_file_of_store(name),
                    "studies": name.endswith(".json") and not name.startswith("."),
                }
                if not known.get(inside) or entry.compress_type != zipfile.ZIP_STORED:
                    raise StoreError(f"{archive} is no export of a run store: it holds {entry.filename!r}")
                with packed.open(entry) as source, (folder / entry.filename).open("xb") as file:
                    shutil.copyfileobj(source, file)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise StoreError(f"{archive} is no export of a run store: {error}") from error


def _export(store: RunStore, target: RunStore, where: object) -> Exchange:
    done = merge(target, store, where, unended=False)
    gc(target)
    rows = store.table(where)
    for row in rows.select(["id", "state"]).to_pylist() if rows.num_rows else ():
        if row["state"] not in ENDED:
            done.problems.append(f"run {row['id']}: {row['state']}; only ended runs are exported")
    return done


def _bring_studies(store: RunStore, other: RunStore, done: Exchange) -> None:
    """What studies asked of which runs, but for those that ask something else here."""
    ours = read_studies(store)
    for name, study in read_studies(other).items():
        if name not in ours:
            write_study(store, name, study.groups)
        elif ours[name] != study:
            done.problems.append(f"study {name}: it asks for other runs here, which stays")


def _take(store: RunStore, runs: Iterable[HeldRun], done: Exchange) -> None:
    """Add the ended runs that the store lacks."""
    n_runs, n_points = add(store, (run for run in runs if _is_new(store, run, done)))
    done.runs += n_runs
    done.points += n_points


def _is_new(store: RunStore, run: HeldRun, done: Exchange) -> bool:
    theirs = decode_record(run.record, f"the record of run {run.id}")
    if not _ID.fullmatch(run.id) or run_id(theirs.spec) != run.id:
        done.problems.append(f"run {run.id}: its id is not that of its spec")
        return False
    ours = store.get(run.id)
    if ours is None or ours.status not in ENDED:
        if store.run(run.id).is_held():
            done.problems.append(f"run {run.id}: it is being written here")
            return False
        return True
    if (ours.status, ours.result) == (theirs.status, theirs.result):
        done.known += 1
    else:
        kept, other = (f"{record.status} {record.result or ''}".strip() for record in (ours, theirs))
        done.problems.append(f"run {run.id}: it is {kept} here, which stays, and {other} there")
    return False


def _ended(other: RunStore, runs: Iterable[str], done: Exchange) -> Iterator[HeldRun]:
    for run in runs:
        try:
            ended = read_ended(other, run)
        except StoreError as error:
            done.problems.append(f"run {run}: {error.message}")
        else:
            if ended is not None:
                yield ended


def _copy(store: RunStore, other: RunStore, run: str, done: Exchange) -> None:
    """Bring a run that has not ended, if the store has none of its id."""
    folder = other.run(run)
    record = read_record(folder)
    if record is None or record.status in ENDED:
        return
    if folder.is_held():
        done.problems.append(f"run {run}: it is being written there")
    elif not _ID.fullmatch(run) or not run == record.id == run_id(record.spec):
        done.problems.append(f"run {run}: its id is not that of its spec")
    elif foreign := folder.foreign():
        done.problems.append(f"run {run}: {foreign} is a symbolic link")
    elif store.run(run).names() or store.get(run) is not None:
        done.known += 1
    else:
        kept = ((name, folder.read(name)) for name in folder.kept() if name != LEASE)
        store.run(run).arrive({name: content for name, content in kept if content is not None})
        done.runs += 1
