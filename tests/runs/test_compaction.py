"""Compaction changes where runs are and nothing that a reader sees, whatever stops it and whoever else is there."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from isoflop.errors import RunTaken, StoreError
from isoflop.runs import Recorder, RunStore, run_id
from isoflop.runs.compaction import compact
from isoflop.runs.lease import Lease
from runs.making import COUNTS, all_points, assert_same_points, files, finish, one_of_each, seen


def test_a_compacted_store_reads_as_it_did(store: RunStore) -> None:
    one_of_each(store)
    before, points = seen(store), all_points(store)
    done = store.compact()
    assert (done.runs, done.points, done.left, done.damaged) == (4, 11, 2, ())
    for reader in (store, RunStore(store.path, create=False)):
        assert seen(reader) == before
        assert_same_points(all_points(reader), points)


def test_a_store_of_ended_runs_is_four_files_whatever_is_lost_of_its_folders(store: RunStore, tmp_path: Path) -> None:
    for seed in range(150):
        finish(store, seed, n_points=100)
    before, points = seen(store), all_points(store)
    done = store.compact()
    assert sorted(path.partition("-")[0] for path in files(store.path)) == [
        "compacted/manifest.json", "compacted/points", "compacted/runs", "store.json",
    ]  # fmt: skip
    assert (done.files, done.bytes) == (3, sum(map(len, files(store.compacted.folder.path).values())))
    assert done.bytes < 400_000
    (store.path / "runs").rmdir()
    copy = RunStore(shutil.copytree(store.path, tmp_path / "copy"), create=False)
    after = seen(copy)
    assert after == before
    assert_same_points(all_points(copy), points)


def test_runs_that_come_later_join_those_before(store: RunStore) -> None:
    for seed in range(4):
        finish(store, seed)
        store.compact()
    store.compact()
    assert len(files(store.compacted.folder.path)) == 3
    assert len(store.ids()) == 4
    assert store.summary() == {"finished": 4}
    again = store.compact()
    assert (again.runs, again.points, again.left) == (0, 0, 0)


def test_a_compaction_with_nothing_to_do_changes_no_byte(store: RunStore) -> None:
    finish(store, 0)
    for _ in range(2):
        store.compact()
    before = files(store.path)
    store.compact()
    assert files(store.path) == before


def test_an_empty_store_can_be_compacted(store: RunStore) -> None:
    assert store.compact().runs == 0
    assert list(store) == []


def test_what_a_part_holds_is_bounded_and_readers_see_all_parts(store: RunStore) -> None:
    for seed in range(10, 22):
        finish(store, seed, n_points=20)
    one_of_each(store)
    before, points = seen(store), all_points(store)
    done = compact(store, part_bytes=4000)
    parts = store.compacted.parts()
    assert len(parts) >= 4
    assert all(part.files.held <= 4000 or part.files.n_runs == 1 for part in parts)
    assert sum(part.files.n_runs for part in parts) == done.runs == 16
    assert seen(store) == before
    assert_same_points(all_points(store), points)
    assert [store.find(run).id for run in store.ids()] == store.ids()


def test_points_of_interrupted_attempts_are_kept(store: RunStore) -> None:
    run = one_of_each(store)["again"]
    lines = (store.path / "runs" / run / "points.1.jsonl").read_text()
    assert lines.count("\n") == 2
    for seed in (10, 11):
        store.compact()
        finish(store, seed)  # the next compaction writes the part anew
    [part] = store.compacted.parts()
    assert {held.id: dict(held.attempts) for held in part.runs() if held.attempts} == {run: {"points.1.jsonl": lines}}


def test_what_else_is_in_the_folder_of_a_run_stays(store: RunStore) -> None:
    run = finish(store, 0)
    kept = store.path / "runs" / run / "checkpoint.100.safetensors"
    kept.write_bytes(b"weights")
    for _ in range(2):
        store.compact()
    assert [path.name for path in (store.path / "runs" / run).iterdir()] == [kept.name]
    assert store.ids() == [run]


def test_a_compacted_run_cannot_be_made_again(store: RunStore) -> None:
    finish(store, 0, loss=1.0)
    spec = next(iter(store)).spec
    store.compact()
    before = files(store.path)
    with pytest.raises(RunTaken, match=r"is finished already\n.*another seed"), Recorder(store, spec):
        pass
    assert files(store.path) == before
    assert not (store.path / "runs" / run_id(spec)).exists()


def test_a_failed_run_is_left_and_made_again(store: RunStore) -> None:
    with pytest.raises(ValueError, match="broken"), Recorder(store, {"seed": 0}):
        raise ValueError("broken")
    assert store.compact().left == 1
    with Recorder(store, {"seed": 0}) as recorder:
        recorder.finish(loss=1.0)
    assert recorder.record.attempt == 2
    assert store.compact().runs == 1


def test_a_run_whose_lease_is_held_is_left(store: RunStore) -> None:
    run = finish(store, 0)
    lease = Lease.take(store.path / "runs" / run / "lease")
    assert lease is not None
    assert (store.compact().left, store.ids()) == (1, [run])
    lease.release()
    assert (store.compact().left, store.ids()) == (0, [run])


@pytest.mark.parametrize("damage", [b'{"step":1}\n\0\0\n', b'{"step":1,"run":2}\n'])
def test_a_damaged_run_is_named_and_left(store: RunStore, damage: bytes) -> None:
    run, sound = finish(store, 0), finish(store, 1)
    (store.path / "runs" / run / "points.jsonl").write_bytes(damage)
    done = store.compact()
    assert (done.runs, done.left) == (1, 1)
    [problem] = done.damaged
    assert str(store.path / "runs" / run / "points.jsonl") in problem
    assert sorted([run, sound]) == store.ids()


def test_a_folder_under_another_name_is_not_taken_for_its_run(store: RunStore) -> None:
    run = finish(store, 0)
    (store.path / "runs" / run).rename(store.path / "runs" / ("0" * 16))
    [problem] = store.compact().damaged
    assert problem == f"{store.run('0' * 16).url}/run.json is of run {run}"


def test_two_compactors_do_not_work_at_once(store: RunStore) -> None:
    run = finish(store, 0)
    other = Lease.take(store.path / "lease")
    assert other is not None
    with pytest.raises(StoreError, match=r"is being compacted by another process"):
        store.compact()
    other.release()
    assert store.compact().runs == 1
    assert store.ids() == [run]


def test_readers_that_began_before_read_to_the_end(store: RunStore) -> None:
    ids = sorted(finish(store, seed) for seed in range(6))
    reader = iter(store)
    first = next(reader)
    store.compact()
    assert [first.id, *(record.id for record in reader)] == ids
    reader = iter(store)
    first = next(reader)
    new = finish(store, 6)
    for _ in range(2):  # the second removes what the first replaced
        store.compact()
    assert [first.id, *(record.id for record in reader)] == ids
    assert sorted([*ids, new]) == store.ids()


def filled(folder: Path) -> RunStore:
    """A store with a compacted part, runs to join it, what an earlier compaction left, and runs to leave."""
    store = RunStore(folder)
    for seed in range(10, 13):
        finish(store, seed)
    store.compact()
    one_of_each(store)
    (store.compacted.folder.path / "points-9-abcdef01.parquet").write_bytes(b"half a file")
    return store


def killed_at(event: int, store: RunStore) -> bool:
    """Compact in a process of its own that is killed at its ``event``-th touch of the disk; whether it was."""
    process = os.fork()
    if process == 0:
        left = [event]

        def count(name: str, arguments: tuple[object, ...]) -> None:
            if name in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.listdir", "os.truncate"):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        code = 1
        try:
            sys.addaudithook(count)
            compact(store)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@pytest.mark.slow
def test_a_kill_between_any_two_steps_is_harmless(tmp_path: Path) -> None:
    whole = filled(tmp_path / "whole")
    before, points = seen(whole), all_points(whole)
    event = 1
    while True:
        store = RunStore(shutil.copytree(whole.path, tmp_path / str(event)))
        killed = killed_at(event, store)
        assert seen(store) == before, event
        assert_same_points(all_points(store), points)
        with Recorder(store, {"seed": "new"}, counts=COUNTS) as recorder:
            recorder.finish(loss=1.0)
        for _ in range(2):
            store.compact()
        assert sorted([*before["ids"], recorder.id]) == store.ids()
        assert_same_points({run: store.points_of(run) for run in before["ids"]}, points)
        assert len(files(store.compacted.folder.path)) == 3, event
        assert [path.name for path in store.path.rglob("*.tmp")] == []
        if not killed:
            break
        shutil.rmtree(store.path)
        event += 1
    assert event > 60
