"""One writer a run, across processes, and none once it is gone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from isoflop.errors import RunTaken
from isoflop.runs import Recorder, RunStore
from isoflop.runs.lease import Lease, is_held

HOLD = """
import sys, time
from isoflop.runs import Recorder, RunStore
recorder = Recorder(RunStore(sys.argv[1]), {"seed": 0}).__enter__()
recorder.log(1, loss=1.0)
recorder.flush()
print(recorder.id, flush=True)
time.sleep(60)
"""

# Whoever holds the lease creates a file that must not be there yet, and removes it before letting go.
CONTEND = """
import os, sys, time
from pathlib import Path
from isoflop.runs.lease import Lease
file, inside = Path(sys.argv[1]), Path(sys.argv[2])
taken, until = 0, time.monotonic() + 20
while taken < 50 and time.monotonic() < until:
    lease = Lease.take(file)
    if lease is None:
        continue
    os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
    time.sleep(0.0002)
    inside.unlink()
    lease.release()
    taken += 1
    time.sleep(0.0005)
print(taken)
"""


def test_a_lease_is_held_until_it_is_released(tmp_path: Path) -> None:
    file = tmp_path / "lease"
    assert not is_held(file)
    lease = Lease.take(file)
    assert lease is not None
    assert is_held(file)
    assert Lease.take(file) is None
    lease.release()
    assert not is_held(file)
    again = Lease.take(file)
    assert again is not None
    again.release()


def test_a_lease_says_who_holds_it(tmp_path: Path) -> None:
    lease = Lease.take(tmp_path / "lease")
    assert lease is not None
    lease.sign()
    assert json.loads((tmp_path / "lease").read_text())["pid"] == os.getpid()
    lease.release()


def test_looking_does_not_take_the_lease_away(tmp_path: Path) -> None:
    lease = Lease.take(tmp_path / "lease")
    assert lease is not None
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    assert all(is_held(tmp_path / "lease") for _ in range(50))
    assert all(Lease.take(tmp_path / "lease") is None for _ in range(5))
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    lease.release()


def test_contending_processes_never_hold_a_lease_together(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CONTEND, str(tmp_path / "lease"), str(tmp_path / "inside")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = [process.communicate()[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert answers == ["50", "50", "50"]


def test_kill_frees_the_run_and_keeps_its_points(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        run = process.stdout.readline().strip()
        store = RunStore(tmp_path)
        [record] = store
        assert store.state(record) == "running"
        with pytest.raises(RunTaken, match=f"run {run} is being written"), Recorder(store, {"seed": 0}):
            pass
        process.send_signal(signal.SIGKILL)
    assert store.state(record) == "interrupted"
    with Recorder(store, {"seed": 0}) as recorder:
        recorder.finish(loss=1.0)
    assert recorder.record.attempt == 2
    assert (store.path / "runs" / run / "points.1.jsonl").read_text() == '{"step":1,"loss":1.0}\n'


def test_waiting_for_a_lease_is_short(tmp_path: Path) -> None:
    lease = Lease.take(tmp_path / "lease")
    assert lease is not None
    began = time.monotonic()
    assert Lease.take(tmp_path / "lease") is None
    assert time.monotonic() - began < 0.5
    lease.release()


def test_a_folder_that_is_removed_as_its_writer_begins_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RunStore(tmp_path / "store")
    opened, left = os.open, [2]

    def open_after_removal(file: Path, *rest: int) -> int:
        if str(file).endswith("lease") and left[0]:
            left[0] -= 1
            with contextlib.suppress(FileNotFoundError):
                Path(file).parent.rmdir()
        return opened(file, *rest)

    monkeypatch.setattr(os, "open", open_after_removal)
    with Recorder(store, {"seed": 0}) as recorder:
        recorder.finish(loss=1.0)
    assert left == [0]
    assert store.state(recorder.record) == "finished"
