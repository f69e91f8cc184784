"""Run what a store lacks of a list of runs: todo = plan - finished, so the same call after any interruption goes on.

A sweep that is asked to stop (an interrupt, an event, its time) has every run write where it stands first. Any number
of launchers may work on one store: a run belongs to whoever holds its lease, and a launcher ends when every run of its
list has ended, whoever made it.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Protocol

from isoflop.errors import StoreError
from isoflop.hardware import cores
from isoflop.runs import RunStore, run_id
from isoflop.runs.record import ENDED
from isoflop.sweep.job import RETRIES, How, RunEnd, Worker, make_job
from isoflop.sweep.local import LocalWorker
from isoflop.sweep.packing import pack
from isoflop.train.spec import TrainSpec

_POLL_SECONDS = 0.5
_LOOK_SECONDS = 0.2
_GRACE_SECONDS = 60.0
"""For workers that were asked to stop: a step, an evaluation, a checkpoint. A second interrupt waits for none of it."""


class Watcher(Protocol):
    """Is told what happens, from the launcher's threads, one call at a time."""

    def begin(self, specs: Sequence[TrainSpec], ended: int) -> None: ...

    def step(self, spec: TrainSpec, step: int) -> None: ...

    def again(self, spec: TrainSpec, error: str | None) -> None:
        """A run failed of something that it is tried again after."""

    def end(self, spec: TrainSpec, state: str, error: str | None) -> None: ...


@dataclass
class SweepResult:
    """What became of the runs asked for.

    Attributes:
        found: how many had ended already.
        states: of those that this call saw end, by id.
        errors: what went wrong, by id.
        stopped: whether the sweep was asked to stop before all had ended.
    """

    found: int = 0
    states: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    stopped: bool = False

    def count(self, state: str) -> int:
        return sum(value == state for value in self.states.values())


def run_sweep(
    specs: Sequence[TrainSpec],
    store: RunStore,
    *,
    workers: int | None = None,
    watcher: Watcher | None = None,
    worker: Callable[[], Worker] = LocalWorker,
    how: How | None = None,
    retries: Mapping[str, int] = RETRIES,
    seconds: float | None = None,
    stop: threading.Event | None = None,
) -> SweepResult:
    """Make every run of ``specs`` that ``store`` does not hold finished or diverged; the longest first.

    Args:
        specs: resolved runs; their corpus must be in the store's cache (``load_corpus(source, store.cache)``).
        store: where they are recorded, and what decides which are left.
        workers: stacks of runs at a time; default one a core.
        watcher: is told of every step reported and every run ended.
        worker: makes what executes a stack of runs.
        how: what holds for every run.
        retries: how often a run is tried again, by the cause of its failure.
        seconds: after which the sweep stops, every run written where it stands.
        stop: when set, from another thread, the sweep stops in the same way.

    Raises:
        MissingExtra: torch is not installed.
        StoreError: the store cannot be written (a full disk, ...); finished runs are kept and the same call goes on.
        KeyboardInterrupt: as it was interrupted, but for what runs had done; a second interrupt ends all at once.
    """
    limit = workers or int(cores())
    until = None if seconds is None else time.monotonic() + seconds
    sweep = _Sweep(specs, store, watcher, limit, how or How(), {**RETRIES, **retries})
    count = max(1, min(limit, len(sweep.todo)))
    sweep.threads = max(1, int(cores()) // count)
    crew = [worker() for _ in range(count)]
    try:
        with ThreadPoolExecutor(count) as pool:
            try:
                futures = [pool.submit(sweep.work, member) for member in crew]
                try:
                    sweep.result.stopped = not _all_done(futures, until, stop)
                finally:
                    _end_softly(sweep, crew, futures)
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


def _all_done(futures: Sequence[Future[None]], until: float | None, stop: threading.Event | None) -> bool:
    """Wait for all; false where it is time to stop before. Raises what one of them raises."""
    while True:
        done, left = wait(futures, _LOOK_SECONDS, FIRST_EXCEPTION)
        for future in done:
            future.result()
        if not left:
            return True
        if (stop is not None and stop.is_set()) or (until is not None and time.monotonic() > until):
            return False


def _end_softly(sweep: _Sweep, crew: Sequence[Worker], futures: Sequence[Future[None]]) -> None:
    """Have workers that are still at it write where their runs stand."""
    sweep.stop()
    for member in crew:
        member.stop()
    wait(futures, _GRACE_SECONDS)


class _Sweep:
    """The stacks of runs left, shared by the threads that each drive one worker."""

    def __init__(
        self,
        specs: Sequence[TrainSpec],
        store: RunStore,
        watcher: Watcher | None,
        workers: int,
        how: How,
        retries: Mapping[str, int],
    ) -> None:
        self._store, self._watcher, self._how, self._retries = store, watcher, how, retries
        self._tries: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._in_hand = 0
        self._stopped = False
        self.threads = 1
        self.fatal: str | None = None
        missing = [spec for spec in specs if not store.has_ended(run_id(spec.to_dict()))]
        self.todo = pack(missing, workers)
        self.result = SweepResult(found=len(specs) - len(missing))
        if watcher is not None:
            watcher.begin(missing, self.result.found)

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def work(self, worker: Worker) -> None:
        """Drive ``worker`` until nothing is left, looking again now and then at what other processes hold."""
        while (stack := self._next()) is not None:
            back: list[TrainSpec] = []
            try:
                back = self._left_of(self._make(worker, stack))
            except BaseException:
                self.stop()
                raise
            finally:
                self._lay_down(back)
            if back and not self._stopped:
                time.sleep(_POLL_SECONDS)  # another worker may have more luck

    def _make(self, worker: Worker, stack: Sequence[TrainSpec]) -> list[TrainSpec]:
        """Have ``worker`` make these runs; those that another process has."""
        taken: list[TrainSpec] = []

        def on_end(index: int, end: RunEnd) -> None:
            if end.state in ("taken", "stopped"):
                taken.append(stack[index])
                return
            with self._lock:
                if end.fatal:
                    self.fatal, self._stopped = end.error, True
                elif self._is_tried_again(stack[index], end):
                    return
                self._close(stack[index], end.state, end.error)

        job = make_job(self._store, stack, self.threads, self._how)
        worker.run(job, lambda index, step: self._step(stack[index], step), on_end)
        return taken

    def _is_tried_again(self, spec: TrainSpec, end: RunEnd) -> bool:
        """Whether a run that ended so is tried again; alone then, so that a fault is its own."""
        if end.state != "failed" or self._stopped:
            return False
        tries = run_id(spec.to_dict()), end.cause
        self._tries[tries] += 1
        if self._tries[tries] > self._retries[end.cause]:
            return False
        self.todo.append([spec])
        if self._watcher is not None:
            self._watcher.again(spec, end.error)
        return True

    def _next(self) -> list[TrainSpec] | None:
        """The next stack; None once there is none and none can come back from another worker."""
        with self._changed:
            while not self._stopped and not self.todo and self._in_hand:
                self._changed.wait()
            if self._stopped or not self.todo:
                return None
            self._in_hand += 1
            return self.todo.pop()

    def _lay_down(self, back: list[TrainSpec]) -> None:
        """A stack is not in hand any more; runs of it come ``back``, to be looked at after all others."""
        with self._changed:
            self._in_hand -= 1
            if back:
                self.todo.insert(0, back)
            self._changed.notify_all()

    def _left_of(self, taken: Sequence[TrainSpec]) -> list[TrainSpec]:
        """Another process has, or had, these runs: count those that it ended; the others."""
        left = []
        for spec in taken:
            record = self._store.get(run_id(spec.to_dict()))
            if record is not None and record.status in ENDED:
                with self._lock:
                    self._close(spec, record.status, record.error)
            else:
                left.append(spec)
        return left

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
