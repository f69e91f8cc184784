"""Disks that are full or read-only, files that lost their end, clocks that jump: words, and nothing lost."""

from __future__ import annotations

import errno
import io
import os
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from isoflop.errors import RunTaken, StoreError
from isoflop.runs import Recorder, RunStore, attempt, gc, mark, object_lease, objects, verify
from isoflop.runs.lease import Lease
from runs.making import all_points, assert_same_points, files, finish, one_of_each, seen


def filled(folder: Path) -> RunStore:
    """A store with a compacted part and runs to join it."""
    store = RunStore(folder)
    for seed in range(10, 13):
        finish(store, seed)
    store.compact()
    one_of_each(store)
    return store


def full_after(writes: int, patched: pytest.MonkeyPatch) -> Callable[[], int]:
    """A disk that takes so many writes and syncs and no more; how many it was asked for."""
    asked = [0]

    def count() -> None:
        asked[0] += 1
        if asked[0] > writes:
            raise OSError(errno.ENOSPC, "No space left on device")

    class File(io.BufferedWriter):
        def write(self, content: Any) -> int:
            count()
            return super().write(content)

    opened, fsync = Path.open, os.fsync

    def open_file(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        return File(io.FileIO(path, mode)) if mode in ("wb", "xb") else opened(path, mode, *arguments, **options)

    def sync(descriptor: int) -> None:
        count()
        fsync(descriptor)

    patched.setattr(Path, "open", open_file)
    patched.setattr(os, "fsync", sync)
    return lambda: asked[0]


def refusal(store: RunStore) -> str | None:
    """What a compaction says of the disk, or None where it went well."""
    try:
        store.compact()
    except StoreError as error:
        return str(error)
    return None


def test_a_disk_that_is_full_at_any_write_of_a_compaction_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = filled(tmp_path / "whole")
    before, points = seen(whole), all_points(whole)
    writes = 0
    while True:
        store = RunStore(shutil.copytree(whole.path, tmp_path / str(writes)))
        with monkeypatch.context() as patched:
            asked = full_after(writes, patched)
            if (refused := refusal(store)) is None:
                break
        assert asked() > writes
        assert "No space left on device\n  hint: the disk is full: free some space" in refused
        for reader in (store, RunStore(store.path)):
            assert seen(reader) == before, writes
        assert_same_points(all_points(store), points)
        assert all(problem.mended for problem in verify(store, mend=True))
        store.compact()
        assert seen(store) == before
        assert_same_points(all_points(store), points)
        shutil.rmtree(store.path)
        writes += 1
    assert writes > 10


def read_only(patched: pytest.MonkeyPatch) -> None:
    """Make every file system read-only for this process."""
    opened, opened_file, made = os.open, Path.open, Path.mkdir

    def refuse(path: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    def open_descriptor(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            refuse(path)
        return opened(path, flags, *arguments, **options)

    def open_file(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if set(mode) & set("wax+"):
            refuse(path)
        return opened_file(path, mode, *arguments, **options)

    def make(path: Path, *arguments: Any, **options: Any) -> None:
        if not path.is_dir():
            refuse(path)
        made(path, *arguments, **options)

    patched.setattr(os, "open", open_descriptor)
    patched.setattr(Path, "open", open_file)
    patched.setattr(Path, "mkdir", make)


def test_a_read_only_store_is_read_whole_and_refuses_the_rest_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(tmp_path / "store")
    before, points, kept = seen(store), all_points(store), files(store.path)
    with monkeypatch.context() as patched:
        read_only(patched)
        reader = RunStore(store.path)
        assert seen(reader) == before
        assert_same_points(all_points(reader), points)
        assert len(reader.points(where="state == 'finished'")) == 6
        assert {problem.cure for problem in verify(reader)} <= {"remove it"}
        calls: list[Callable[[], object]] = [
            reader.compact,
            lambda: gc(reader),
            lambda: verify(reader, mend=True),
            lambda: mark(reader, before["ids"][0], "superseded", "why"),
            lambda: Recorder(reader, {"seed": "new"}).__enter__(),
        ]
        for call in calls:
            with pytest.raises(StoreError, match=r"Read-only file system\n.*the store is on a read-only file system"):
                call()
    assert files(store.path) == kept


@pytest.mark.parametrize("kind", ["runs", "points"])
def test_a_parquet_file_that_lost_its_end_is_named_and_never_read_as_less(tmp_path: Path, kind: str) -> None:
    whole = filled(tmp_path / "whole")
    whole.compact()
    gc(whole)
    [name] = [name for name in whole.compacted.folder.names() if name.startswith(kind)]
    points = all_points(whole)
    size = whole.compacted.folder.size(name)
    for kept in (0, 1, 4, 8, size // 3, size // 2, size - 9, size - 8, size - 4, size - 1):
        store = RunStore(shutil.copytree(whole.path, tmp_path / str(kept)))
        os.truncate(store.path / "compacted" / name, kept)
        reader = RunStore(store.path)
        with pytest.raises(StoreError, match=rf"{name} is damaged"):
            reader.points()
        [problem] = verify(RunStore(store.path), mend=True)
        assert (problem.file, problem.mended) == (f"compacted/{name}", False)
        assert problem.what == f"it has {kept} bytes; {size} were written"
        for call in (store.compact, lambda store=store: finish(store, 99)):
            with pytest.raises(StoreError, match="is damaged"):
                call()
        shutil.copy(whole.path / "compacted" / name, store.path / "compacted" / name)
        assert_same_points({run: store.points_of(run) for run in points}, points)


class Yesterday(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) - timedelta(days=1)


def test_a_clock_that_jumps_backwards_hurts_no_run(anywhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RunStore(anywhere)
    now = time.time
    with Recorder(store, {"seed": 0}) as run:
        run.log(1, loss=1.0)
        monkeypatch.setattr(attempt, "datetime", Yesterday)
        monkeypatch.setattr(time, "time", lambda: now() - 86400)
        for step in range(2, 301):
            run.log(step, loss=1.0)
        assert store.state(store.find(run.id)) == "running"
        with pytest.raises(RunTaken, match="is being written"), Recorder(RunStore(anywhere), {"seed": 0}):
            pass
        run.finish(loss=1.0)
    record = store.find(run.id)
    assert record.ended is not None
    assert record.ended < record.started
    assert datetime.fromisoformat(record.ended) < datetime.now(UTC)
    assert record.seconds is not None
    assert 0 <= record.seconds < 60
    finish(store, 1)
    assert store.compact().runs == 2
    assert len(store.points_of(run.id)["step"]) == 300
    assert verify(store) == []


def test_a_clock_that_is_years_ahead_takes_no_run_from_its_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fsspec")
    store = RunStore("memory://clock/store")
    now = time.time
    with Recorder(store, {"seed": 0}) as run:
        monkeypatch.setattr(objects.time, "time", lambda: now() + 1e8)
        with pytest.raises(RunTaken, match="is being written"), Recorder(store, {"seed": 0}):
            pass
        run.finish(loss=1.0)
    assert store.summary() == {"finished": 1}


def test_a_lease_of_who_was_killed_expires_and_a_sleeper_spoils_nothing_of_its_successor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("fsspec")
    store = RunStore("memory://sleeper/store")
    sleeper = Recorder(store, {"seed": 0}).__enter__()
    sleeper.log(1, loss=1.0)
    monkeypatch.setattr(object_lease, "EXPIRES_SECONDS", 0.0)
    with Recorder(store, {"seed": 0}) as successor:
        successor.log(2, loss=2.0)
        sleeper.log(3, loss=3.0)
        sleeper.sync()
        successor.finish(loss=2.0)
    sleeper.finish(loss=3.0)
    sleeper.__exit__(None, None, None)
    record = store.find(successor.id)
    assert (record.attempt, record.result) == (2, {"loss": 2.0})
    assert store.points_of(record.id)["step"].tolist() == [2]
    assert store.compact().runs == 1


def test_a_compactor_that_slept_cannot_publish_over_its_successor(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fsspec")
    store = RunStore("memory://compactors/store")
    run = finish(store, 0)
    folder = store.compacted.folder
    folder.publish("manifest.json", 1, b"{}")
    with pytest.raises(StoreError, match=r"another process has written .*manifest\.000001\.json meanwhile"):
        folder.publish("manifest.json", 1, b"{ }")
    folder.remove("manifest.000001.json")
    assert store.compact().runs == 1
    assert store.ids() == [run]


def test_of_many_who_want_a_lease_in_an_object_store_one_gets_it() -> None:
    pytest.importorskip("fsspec")
    from concurrent.futures import ThreadPoolExecutor

    store = RunStore("memory://contenders/store")
    folder = store.run("0" * 16)
    for _ in range(20):
        with ThreadPoolExecutor(8) as pool:
            taken = [lease for lease in pool.map(lambda _: folder.take("lease"), range(8)) if lease is not None]
        assert len(taken) <= 1
        for lease in taken:
            lease.release()
    lease = folder.take("lease")
    assert lease is not None
    assert Lease is not type(lease)
    lease.release()
