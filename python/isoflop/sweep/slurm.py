"""A sweep as an array of Slurm jobs: each is a launcher of its own, and they share the runs through the store.

A job that is preempted, or whose time is over, has its runs write where they stand and is queued again. Nothing passes
between jobs but what is in the store, so that some may begin days after others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isoflop.errors import SpecError, require
from isoflop.runs import RunStore, run_id
from isoflop.runs.record import ENDED
from isoflop.sweep.job import RETRIES, How
from isoflop.sweep.launcher import SweepResult, Watcher, run_sweep
from isoflop.train.spec import TrainSpec

_LOOK_SECONDS = 1.0
_STOP = "stop"


class Share:
    """What one job of the array does: make what it can take of the runs. It is pickled, and called on a node."""

    def __init__(self, folder: str, store: str, specs: Sequence[dict[str, Any]], settings: Mapping[str, Any]) -> None:
        self.folder, self.store, self.specs, self.settings = folder, store, list(specs), dict(settings)

    def __call__(self, index: int) -> dict[str, str]:
        """What went wrong, by run."""
        self._stop, found = threading.Event(), SweepResult()
        self._thread = threading.Thread(target=lambda: found.__dict__.update(self._make().__dict__))
        self._thread.start()
        asked = Path(self.folder) / _STOP
        while self._thread.is_alive():
            self._thread.join(_LOOK_SECONDS)
            if asked.exists():
                self._stop.set()
        return found.errors

    def _make(self) -> SweepResult:
        specs = [TrainSpec.from_dict(values) for values in self.specs]
        return run_sweep(specs, RunStore(self.store, create=False), stop=self._stop, **self.settings)

    def checkpoint(self, index: int) -> Any:
        """Called by a signal before the job ends: have the runs write where they stand, and say what to queue again."""
        self._stop.set()
        self._thread.join()
        helpers = require("submitit.helpers", extra="slurm")
        return helpers.DelayedSubmission(Share(self.folder, self.store, self.specs, self.settings), index)


@dataclass(frozen=True)
class SlurmExecutor:
    """Array jobs through submitit.

    Attributes:
        options: of submitit (``timeout_min``, ``gpus_per_node``, ``slurm_partition``, ...).
        cluster: of submitit: ``slurm``, or ``local`` for processes of this machine.
    """

    options: Mapping[str, Any]
    cluster: str = "slurm"

    def __call__(
        self,
        specs: Sequence[TrainSpec],
        store: RunStore,
        *,
        workers: int | None = None,
        watcher: Watcher | None = None,
        how: How | None = None,
        retries: Mapping[str, int] = RETRIES,
        seconds: float | None = None,
        stop: threading.Event | None = None,
    ) -> SweepResult:
        """As :func:`isoflop.sweep.launcher.run_sweep`; ``workers`` are the jobs of the array, by default one."""
        submitit = require("submitit", extra="slurm")
        folder = store.path.absolute() / "slurm"
        (folder / _STOP).unlink(missing_ok=True)
        until = None if seconds is None else time.monotonic() + seconds
        seen = _Seen(specs, store, watcher)
        settings = {"how": how, "retries": retries}
        allowed, errors = {**RETRIES, **retries}["lost"], dict[str, str]()
        for _ in range(1 + allowed):
            left = seen.left()
            if not left or seen.result.stopped:
                break
            share = Share(str(folder), store.address, [spec.to_dict() for spec in left], settings)
            try:
                executor = submitit.AutoExecutor(folder=folder, cluster=self.cluster)
                executor.update_parameters(**self.options)
            except (RuntimeError, NameError, ValueError) as error:
                raise SpecError(f"submitit: {error}", hint="its options are given as --option NAME=VALUE") from error
            submitted = executor.map_array(share, range(min(workers or 1, len(left))))
            try:
                seen.wait_for(submitted, lambda: _is_time(until, stop))
            finally:
                if not all(job.done() for job in submitted):
                    (folder / _STOP).touch()
            seen.result.stopped = _is_time(until, stop)
            if seen.result.stopped:
                seen.wait_for(submitted, lambda: False)
            for job in submitted:
                broken = job.exception()
                errors.update(job.result() if broken is None else {"": str(broken).splitlines()[0]})
            if not any(job.exception() for job in submitted):
                break
        return seen.close(errors)


def _is_time(until: float | None, stop: threading.Event | None) -> bool:
    return (stop is not None and stop.is_set()) or (until is not None and time.monotonic() > until)


class _Seen:
    """The runs of a sweep as they end in the store, whoever makes them."""

    def __init__(self, specs: Sequence[TrainSpec], store: RunStore, watcher: Watcher | None) -> None:
        self._store, self._watcher = store, watcher
        self._left = {run_id(spec.to_dict()): spec for spec in specs}
        self.result = SweepResult()
        missing = {run: spec for run, spec in self._left.items() if not store.has_ended(run)}
        self.result.found = len(self._left) - len(missing)
        self._left = missing
        if watcher is not None:
            watcher.begin(list(missing.values()), self.result.found)

    def left(self) -> list[TrainSpec]:
        """Those that have not ended."""
        self._look()
        return list(self._left.values())

    def wait_for(self, jobs: Sequence[Any], is_time: Callable[[], bool]) -> None:
        """Until all jobs are done, or it is time."""
        while not all(job.done() for job in jobs) and not is_time():
            time.sleep(_LOOK_SECONDS)
            self._look()
        self._look()

    def _look(self) -> None:
        for run in list(self._left):
            record = self._store.get(run)
            if record is not None and record.status in ENDED:
                self._end(run, record.status, record.error)

    def _end(self, run: str, state: str, error: str | None) -> None:
        spec = self._left.pop(run)
        self.result.states[run] = state
        if error is not None:
            self.result.errors[run] = error
        if self._watcher is not None:
            self._watcher.end(spec, state, error)

    def close(self, errors: Mapping[str, str]) -> SweepResult:
        """The result: what is left has failed, unless it was to stop."""
        if not self.result.stopped:
            for run in list(self._left):
                self._end(run, "failed", errors.get(run) or errors.get("") or "its job ended without a word")
        return self.result
