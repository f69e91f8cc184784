"""A recorder never stops its trainer: what the store refuses waits on this machine and is delivered, each byte once."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from isoflop.errors import RecorderWarning, RunTaken, StoreError
from isoflop.runs import Recorder, RunStore, deliver, outbox, verify
from isoflop.runs.files import explained
from isoflop.runs.local_run import FileJournal, LocalRun
from isoflop.runs.objects import Objects
from isoflop.runs.spool import Spool

N_POINTS = 450


def refuse(*_: object, **__: object) -> None:
    with explained("append points to", "the store"):
        raise OSError(28, "No space left on device")


@contextmanager
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No store takes anything meanwhile, on a disk or elsewhere."""
    with monkeypatch.context() as patched:
        for owner, name in ((FileJournal, "append"), (LocalRun, "write_record"), (Objects, "put")):
            patched.setattr(owner, name, refuse)
        yield


def record(store: RunStore, from_step: Callable[[int], object], strict: bool = False) -> str:
    """Record a run; ``from_step`` is told of every step."""
    with Recorder(store, {"seed": 0}, counts={"N": 1}, strict=strict) as recorder:
        for step in range(1, N_POINTS + 1):
            from_step(step)
            recorder.log(step, loss=1 / step)
        recorder.finish(loss=0.5)
    return recorder.id


def assert_whole(store: RunStore, run: str) -> None:
    points = store.points_of(run)
    np.testing.assert_array_equal(points["step"], np.arange(1, N_POINTS + 1))
    np.testing.assert_array_equal(points["loss"], 1 / np.arange(1, N_POINTS + 1))
    assert store.summary() == {"finished": 1}
    assert verify(store) == []


@pytest.mark.parametrize("retry", [0.0, 1e9])
def test_a_store_that_was_full_for_a_while_has_every_point_in_the_end(
    anywhere: str, monkeypatch: pytest.MonkeyPatch, user_cache: Path, retry: float
) -> None:
    monkeypatch.setattr(outbox, "RETRY_SECONDS", retry)
    store = RunStore(anywhere)
    full = ExitStack()

    def fill_up(step: int) -> None:
        if step == 150:
            full.enter_context(refusing(monkeypatch))
        if step == 350:
            full.close()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = record(store, fill_up)
    assert len([each for each in caught if each.category is RecorderWarning]) == (0 if "://" in anywhere else 1)
    assert_whole(store, run)
    assert list((user_cache / "spool").rglob("*.jsonl")) == []


def test_a_run_that_ends_while_its_store_is_away_is_delivered_later(
    anywhere: str, monkeypatch: pytest.MonkeyPatch, user_cache: Path
) -> None:
    store = RunStore(anywhere)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = record_away(store, monkeypatch)
    assert "nothing is lost; isoflop runs deliver brings what is in" in str(caught[-1].message)
    assert len([each for each in caught if each.category is RecorderWarning]) == 2, "once, and what is to be done"
    state = store.state(store.find(run))
    assert state == ("interrupted" if "://" not in anywhere else "running"), "a lease that cannot be let go expires"
    monkeypatch.setattr("isoflop.runs.object_lease.EXPIRES_SECONDS", 0.0)
    assert deliver(store).runs == [run]
    assert_whole(store, run)
    assert deliver(store).runs == []
    assert list((user_cache / "spool").rglob("*.jsonl")) == []


def record_away(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run whose store goes away after its start, and comes back after its end."""
    with ExitStack() as away:
        return record(store, lambda step: away.enter_context(refusing(monkeypatch)) if step == 1 else None)


@pytest.mark.filterwarnings("ignore::isoflop.errors.RecorderWarning")
def test_recording_the_run_again_delivers_it_first(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run = record_away(store, monkeypatch)
    with pytest.raises(RunTaken, match="is finished already"), Recorder(store, {"seed": 0}):
        pass
    assert_whole(store, run)


@pytest.mark.filterwarnings("ignore::isoflop.errors.RecorderWarning")
def test_a_delivery_that_is_cut_off_anywhere_brings_no_byte_twice(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = record_away(store, monkeypatch)
    append = FileJournal.append

    def half(journal: FileJournal, lines: bytes) -> None:
        append(journal, lines[: len(lines) // 2])
        raise KeyboardInterrupt

    for _ in range(3):
        with monkeypatch.context() as patched:
            patched.setattr(FileJournal, "append", half)
            with pytest.raises(KeyboardInterrupt):
                deliver(store)
    assert deliver(store).runs == [run]
    assert_whole(store, run)


@pytest.mark.filterwarnings("ignore::isoflop.errors.RecorderWarning")
def test_what_waits_of_a_run_that_was_made_anew_is_named_and_kept(
    store: RunStore, monkeypatch: pytest.MonkeyPatch, user_cache: Path
) -> None:
    run = record_away(store, monkeypatch)
    [waiting] = [path for path in (user_cache / "spool").glob("*/*") if path.is_dir()]
    hidden = waiting.rename(user_cache / "hidden")
    assert record(store, lambda _: None) == run
    hidden.rename(waiting)
    [problem] = deliver(store).problems
    assert problem == f"run {run} was made anew meanwhile; attempt 1 stays in {waiting}"
    assert waiting.is_dir()
    assert_whole(store, run)


@pytest.mark.parametrize("anywhere", ["local", "s3"], indirect=True)  # memory goes with its process
def test_a_killed_recorder_leaves_its_points_to_a_delivery(anywhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "import os, sys, time",
        "from isoflop.runs import Recorder, RunStore, outbox",
        "from isoflop.runs.local_run import FileJournal",
        "outbox.BEHIND_SECONDS = 1e9",
        "recorder = Recorder(RunStore(sys.argv[1]), {'seed': 0}).__enter__()",
        "def refuse(*_): raise __import__('isoflop.errors').errors.StoreError('the store is full')",
        "FileJournal.append = refuse",
        "for step in range(1, 251): recorder.log(step, loss=1 / step)",
        "recorder.flush()",
        "os.kill(os.getpid(), 9)",
    ]
    process = os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-W", "ignore", "-c", "\n".join(lines), anywhere)
    assert process == -signal.SIGKILL
    store = RunStore(anywhere)
    monkeypatch.setattr("isoflop.runs.object_lease.EXPIRES_SECONDS", 0.0)
    [run] = store.ids()
    assert store.points_of(run) == {} or store.points_of(run)["step"].tolist() == []
    assert deliver(store).runs == [run]
    assert store.points_of(run)["step"].tolist() == list(range(1, 251))
    assert store.state(store.find(run)) == "interrupted"


def test_a_strict_recorder_fails_its_run_and_says_why(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill_up(step: int) -> None:
        if step == 150:
            monkeypatch.setattr(FileJournal, "append", refuse)

    with pytest.raises(StoreError, match="the disk is full: free some space"):
        record(store, fill_up, strict=True)
    [found] = store
    assert (found.status, store.state(found)) in (("failed", "failed"), ("running", "interrupted"))
    assert store.points_of(found.id)["step"].tolist() == list(range(1, 101))


def test_a_strict_recorder_of_a_store_that_is_away_fails_at_the_latest_at_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("fsspec")
    store = RunStore("memory://strict/store")

    def go_away(step: int) -> None:
        if step == 150:
            monkeypatch.setattr(Objects, "put", refuse)

    with pytest.raises(StoreError, match="No space left on device"):
        record(store, go_away, strict=True)


def test_no_disk_at_all_costs_the_points_and_never_the_trainer(
    store: RunStore, monkeypatch: pytest.MonkeyPatch, user_cache: Path
) -> None:
    user_cache.parent.mkdir(parents=True)
    user_cache.write_bytes(b"a file where the folder should be")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        record_away(store, monkeypatch)
    assert re.search("the last [0-9]+ bytes are lost", str(caught[-1].message))


def test_a_spool_gives_back_the_bytes_from_anywhere_whatever_its_disk_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = np.random.default_rng(0).bytes(3000)
    spool = Spool(tmp_path / "spool", 500)
    pwrite = os.pwrite

    def few_bytes(descriptor: int, content: bytes, at: int) -> int:
        if at > 1500:
            raise OSError(28, "No space left on device")
        return pwrite(descriptor, content[:7], at)

    spool.append(written[500:1000])
    monkeypatch.setattr(os, "pwrite", few_bytes)
    spool.append(written[1000:2500])
    spool.append(written[2500:])
    assert spool.in_memory > 0
    for begin in (500, 501, 1000, 1600, 2010, 2600, 3000):
        assert spool.after(begin) == written[begin:], begin
    monkeypatch.undo()
    spool.append(b"\n")
    assert (spool.in_memory, spool.after(500)) == (0, written[500:] + b"\n")


def test_a_slow_store_does_not_hold_the_trainer_up(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fsspec")
    put = Objects.put

    def slow(objects: Objects, path: str, content: bytes) -> None:
        time.sleep(0.2)
        put(objects, path, content)

    monkeypatch.setattr(outbox, "BEHIND_SECONDS", 0.01)
    store = RunStore("memory://slow/store")
    with Recorder(store, {"seed": 0}) as recorder:
        monkeypatch.setattr(Objects, "put", slow)
        began = time.perf_counter()
        for step in range(3000):
            recorder.log(step, loss=1.0)
        taken = time.perf_counter() - began
        recorder.finish(loss=1.0)
    assert taken < 3.0, "thirty flushes, each waiting, would take six seconds"
    assert len(store.points_of(recorder.id)["step"]) == 3000
