"""One writer a run, across processes, and none once it is gone."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from isoflop.errors import RunTaken, StoreError
from isoflop.runs import Recorder, RunStore, compaction, heartbeat
from isoflop.runs import lease as leases
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
if len(sys.argv) > 3:  # a machine of its own, whom no lock reaches
    import isoflop.runs.lease
    isoflop.runs.lease.kernel = lambda: sys.argv[3]
    isoflop.runs.lease.fcntl.flock = lambda *given: None
taken, until = 0, time.monotonic() + 120
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
    assert json.loads((tmp_path / "lease").read_text())["pid"] == os.getpid()
    lease.release()
    assert list(tmp_path.iterdir()) == []


def test_looking_does_not_take_the_lease_away(tmp_path: Path) -> None:
    lease = Lease.take(tmp_path / "lease")
    assert lease is not None
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    assert all(is_held(tmp_path / "lease") for _ in range(50))
    assert all(Lease.take(tmp_path / "lease") is None for _ in range(5))
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    lease.release()


@pytest.mark.parametrize("machines", [1, 3])
def test_contending_processes_never_hold_a_lease_together(tmp_path: Path, machines: int) -> None:
    command = [sys.executable, "-c", CONTEND, str(tmp_path / "lease"), str(tmp_path / "inside")]
    names = [[], [], []] if machines == 1 else [["a"], ["b"], ["c"]]
    processes = [subprocess.Popen(command + name, stdout=subprocess.PIPE, text=True) for name in names]
    answers = [process.communicate()[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert answers == ["50", "50", "50"]


def test_a_file_system_without_links_has_leases_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    lease = Lease.take(tmp_path / "lease")
    assert lease is not None
    assert Lease.take(tmp_path / "lease") is None
    assert json.loads((tmp_path / "lease").read_text())["pid"] == os.getpid()
    lease.release()
    assert list(tmp_path.iterdir()) == []


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


def test_waiting_for_a_lease_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(leases.time, "sleep", pauses.append)
    lease = Lease.take(tmp_path / "lease")
    assert lease is not None
    assert Lease.take(tmp_path / "lease") is None
    assert 0 < sum(pauses) < 0.5
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


Machine = Callable[[str], None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Be, from now on, the machine of a name; no lock reaches from one to another, nor between its own processes."""
    monkeypatch.setattr(leases.fcntl, "flock", lambda *given: None)
    return lambda name: monkeypatch.setattr(leases, "kernel", lambda: name)


def age(file: Path, seconds: float) -> None:
    """Let it be so long ago that a file was touched."""
    then = file.stat().st_mtime - seconds
    os.utime(file, (then, then))


def test_another_machine_takes_a_lease_only_when_its_holder_has_not_beaten_for_long(
    tmp_path: Path, machine: Machine
) -> None:
    file = tmp_path / "lease"
    machine("a")
    first = Lease.take(file)
    assert first is not None
    machine("b")
    for seconds in (0, heartbeat.EXPIRES_SECONDS / 2):
        age(file, seconds)
        assert is_held(file)
        assert Lease.take(file) is None
    age(file, heartbeat.EXPIRES_SECONDS / 2)
    assert not is_held(file)
    second = Lease.take(file)
    assert second is not None
    first.release()  # it wakes up, and does not take away what is not its own
    assert json.loads(file.read_text())["kernel"] == "b"
    machine("a")
    assert Lease.take(file) is None
    second.release()
    third = Lease.take(file)
    assert third is not None
    third.release()


@pytest.mark.parametrize("jump", [-1e9, 1e9])
def test_no_clock_of_a_machine_gives_a_lease_away(
    tmp_path: Path, machine: Machine, jump: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine("a")
    first = Lease.take(tmp_path / "lease")
    assert first is not None
    machine("b")
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + jump)
    assert Lease.take(tmp_path / "lease") is None
    age(tmp_path / "lease", heartbeat.EXPIRES_SECONDS)
    second = Lease.take(tmp_path / "lease")
    assert second is not None
    second.release()
    first.release()


def test_a_holder_beats_until_it_lets_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.01)
    heart = heartbeat.Heartbeat()
    monkeypatch.setattr(leases, "_HEART", heart)
    held = [Lease.take(tmp_path / name) for name in ("one", "two")]
    for name in ("one", "two", "one"):
        age(tmp_path / name, 1000)
        wait_until(lambda name=name: (tmp_path / name).stat().st_mtime > time.time() - 100)
    for lease in held:
        assert lease is not None
        lease.release()
    wait_until(lambda: not heart.beats)


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.005)


def test_a_writer_that_slept_past_its_lease_spoils_nothing_of_its_successors(store: RunStore, machine: Machine) -> None:
    machine("a")
    slept = Recorder(store, {"seed": 0}, strict=True).__enter__()
    slept.log(1, loss=5.0)
    slept.flush()
    age(store.path / "runs" / slept.id / "lease", heartbeat.EXPIRES_SECONDS)
    machine("b")
    with Recorder(store, {"seed": 0}) as successor:
        successor.log(1, loss=4.0)
        successor.flush()
        slept.log(2, loss=5.0)
        slept.flush()
        with pytest.raises(StoreError, match=r"another process has written .*run.json meanwhile\n.*for dead"):
            slept.describe(engine="of the dead")
        slept.finish(loss=5.0)
        with pytest.raises(StoreError, match="meanwhile"):
            slept.__exit__(None, None, None)
        machine("c")
        assert store.state(successor.record) == "running"
        successor.finish(loss=4.0)
    [record] = store
    assert (record.attempt, record.status, record.result) == (2, "finished", {"loss": 4.0})
    assert store.points_of(record.id)["loss"].tolist() == [4.0]
    assert store.run(record.id).read("points.1.jsonl") == b'{"step":1,"loss":5.0}\n{"step":2,"loss":5.0}\n'


def test_a_compactor_that_slept_past_its_lease_publishes_nothing(
    store: RunStore, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(store, range(2))
    machine("a")
    written = compaction.write_part

    def sleep_then_write(*given: Any) -> Any:
        part = written(*given)
        monkeypatch.setattr(compaction, "write_part", written)
        age(store.path / "lease", heartbeat.EXPIRES_SECONDS)
        machine("b")
        finished(store, [2])
        assert store.compact().runs == 3
        machine("a")
        return part

    monkeypatch.setattr(compaction, "write_part", sleep_then_write)
    with pytest.raises(StoreError, match=r"another process has written .*manifest.json meanwhile"):
        store.compact()
    assert store.summary() == {"finished": 3}
    assert store.compact().runs == 0
    assert store.summary() == {"finished": 3}


def finished(store: RunStore, seeds: Iterable[int]) -> None:
    for seed in seeds:
        with Recorder(store, {"seed": seed}) as recorder:
            recorder.log(1, loss=1.0)
            recorder.finish(loss=1.0)
