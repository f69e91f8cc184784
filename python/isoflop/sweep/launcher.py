"""Run what a store lacks of a list of runs: todo = plan - finished, so the same call after any interruption goes on.

Any number of launchers may work on one store: a run belongs to whoever holds its lease, and a launcher ends when
every run of its list has ended, whoever made it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Protocol

from isoflop.errors import StoreError
from isoflop.hardware import cores
from isoflop.runs import RunStore, run_id
from isoflop.runs.record import ENDED
from isoflop.sweep.executor import LocalWorker, RunEnd, Worker
from isoflop.sweep.packing import pack
from isoflop.train.spec import TrainSpec

_POLL_SECONDS = 0.5


class Watcher(Protocol):
    """Is told what happens, from the launcher's threads, one call at a time."""

    def begin(self, specs: Sequence[TrainSpec], ended: int) -> None: ...

    def step(self, spec: TrainSpec, step: int) -> None: ...

    def end(self, spec: TrainSpec, state: str, error: str | None) -> None: ...


@dataclass
class SweepResult:
    """What became of the runs asked for: how many had ended already, and the states of those that this call saw end."""

    found: int = 0
    states: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def count(self, state: str) -> int:
        return sum(value == state for value in self.states.values())


def run_sweep(
    specs: Sequence[TrainSpec],
    store: RunStore,
    *,
    workers: int | None = None,
    watcher: Watcher | None = None,
    worker: Callable[[], Worker] = LocalWorker,
    checkpoint_every: int = 0,
) -> SweepResult:
    """Make every run of ``specs`` that ``store`` does not hold finished or diverged; the longest first.

    Args:
        specs: resolved runs; their corpus must be in the store's cache (``load_corpus(source, store.cache)``).
        store: where they are recorded, and what decides which are left.
        workers: stacks of runs at a time; default one a core.
        watcher: is told of every step reported and every run ended.
        worker: makes what executes a stack of runs.
        checkpoint_every: steps after which a run writes where it stands, to go on from after an interruption; 0 never.

    Raises:
        MissingExtra: torch is not installed.
        StoreError: the store cannot be written (a full disk, ...); finished runs are kept and the same call goes on.
    """
    limit = workers or int(cores())
    sweep = _Sweep(specs, store, watcher, limit, checkpoint_every)
    count = max(1, min(limit, len(sweep.todo)))
    sweep.threads = max(1, int(cores()) // count)
    crew = [worker() for _ in range(count)]
    try:
        with ThreadPoolExecutor(count) as pool:
            try:
                futures = [pool.submit(sweep.work, member) for member in crew]
                for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                    future.result()
            except BaseException:
                sweep.stop()
                for member in crew:
                    member.close()
                raise
    finally:
        for member in crew:
            member.close()
    if sweep.fatal is not None:
        raise StoreError(sweep.fatal)
    return sweep.result


class _Sweep:
    """The stacks of runs left, shared by the threads that each drive one worker."""

    def __init__(
        self, specs: Sequence[TrainSpec], store: RunStore, watcher: Watcher | None, workers: int, checkpoint_every: int
    ) -> None:
        self._store, self._watcher, self._checkpoint_every = store, watcher, checkpoint_every
        self._lock = threading.Lock()
        self._stopped = False
        self.threads = 1
        self.fatal: str | None = None
        missing = [spec for spec in specs if not store.has_ended(run_id(spec.to_dict()))]
        self.todo = pack(missing, workers)
        self.result = SweepResult(found=len(specs) - len(missing))
        if watcher is not None:
            watcher.begin(missing, self.result.found)

    def stop(self) -> None:
        self._stopped = True

    def work(self, worker: Worker) -> None:
        """Drive ``worker`` until nothing is left, looking again now and then at what other processes hold."""
        while (stack := self._next()) is not None:
            taken = self._make(worker, stack)
            if taken:
                self._look_again(taken)

    def _make(self, worker: Worker, stack: Sequence[TrainSpec]) -> list[TrainSpec]:
        """Have ``worker`` make these runs; those that another process has."""
        taken: list[TrainSpec] = []

        def on_end(index: int, end: RunEnd) -> None:
            if end.state == "taken":
                taken.append(stack[index])
                return
            with self._lock:
                if end.fatal:
                    self.fatal, self._stopped = end.error, True
                self._close(stack[index], end.state, end.error)

        job = {
            "store": self._store.address,
            "specs": [spec.to_dict() for spec in stack],
            "threads": self.threads,
            "checkpoint_every": self._checkpoint_every,
        }
        worker.run(job, lambda index, step: self._step(stack[index], step), on_end)
        return taken

    def _next(self) -> list[TrainSpec] | None:
        with self._lock:
            return None if self._stopped or not self.todo else self.todo.pop()

    def _look_again(self, taken: Sequence[TrainSpec]) -> None:
        """Another process has these runs: count those that it ended, leave the others for later."""
        left = []
        for spec in taken:
            record = self._store.get(run_id(spec.to_dict()))
            if record is not None and record.status in ENDED:
                with self._lock:
                    self._close(spec, record.status, record.error)
            else:
                left.append(spec)
        if left:
            time.sleep(_POLL_SECONDS)
            with self._lock:
                self.todo.insert(0, left)

    def _step(self, spec: TrainSpec, step: int) -> None:
        if self._watcher is not None:
            with self._lock:
                self._watcher.step(spec, step)

    def _close(self, spec: TrainSpec, state: str, error: str | None) -> None:
        run = run_id(spec.to_dict())
        self.result.states[run] = state
        if error is not None:
            self.result.errors[run] = error
        if self._watcher is not None:
            self._watcher.end(spec, state, error)
