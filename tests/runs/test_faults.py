"""Kills at random moments: every point that was flushed is there afterwards, no run is seen twice, all is mended."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable

import numpy as np
import pytest

from isoflop.runs import Recorder, RunStore, verify
from isoflop.runs.compaction import compact
from runs.making import COUNTS

pytestmark = pytest.mark.slow

TOUCHES = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.listdir")


def forked(life: int, work: Callable[[Callable[[], None]], None]) -> int:
    """The id of a process that does ``work``, over and over, until it has touched the disk or lived ``life`` times."""
    process = os.fork()
    if process:
        return process
    left = [life]

    def live() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.addaudithook(lambda name, _: live() if name in TOUCHES else None)
        while True:
            work(live)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def test_fifty_kills_of_writers_and_compactors_lose_no_flushed_point(store: RunStore) -> None:
    chance = np.random.default_rng(0)
    flushed: dict[str, int] = {}
    for kill in range(50):
        told, telling = os.pipe()

        def write(live: Callable[[], None], telling: int = telling) -> None:
            with Recorder(store, {"seed": os.urandom(4).hex()}, counts=COUNTS) as recorder:
                for step in range(1, 301):
                    recorder.log(step, loss=2.0, tokens=step * 64)
                    live()
                    if step % 50 == 0:
                        recorder.flush()
                        os.write(telling, f"{recorder.id} {step}\n".encode())
                recorder.finish(loss=2.0)

        def shrink(_: Callable[[], None]) -> None:
            compact(store, part_bytes=2**18)

        processes = [
            forked(int(chance.integers(1, 2000)), write),
            forked(int(chance.integers(1, 500)), shrink),
        ]
        os.close(telling)
        with os.fdopen(told) as lines:
            for line in lines.read().splitlines():
                run, step = line.split()
                flushed[run] = max(flushed.get(run, 0), int(step))
        for process in processes:
            _, status = os.waitpid(process, 0)
            assert os.WIFSIGNALED(status)
        if kill % 10 == 9:
            check(store, flushed)
    assert len(flushed) >= 50
    assert store.summary().keys() == {"finished", "interrupted"}
    for _ in range(2):
        assert store.compact().damaged == ()
    check(store, flushed)


def check(store: RunStore, flushed: dict[str, int]) -> None:
    verify(store, mend=True)
    assert verify(store) == []
    ids = [record.id for record in store]
    assert len(ids) == len(set(ids))
    assert set(flushed) <= set(ids)
    for run, steps in flushed.items():
        found = store.points_of(run)["step"]
        assert len(found) >= steps
        np.testing.assert_array_equal(found, np.arange(1, len(found) + 1))
