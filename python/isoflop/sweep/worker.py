"""The process that trains: reads a job a line from standard input, answers with events, a line each.

    in   {"store": PATH, "specs": [{...}, ...], "threads": 1, "how": {...}}
         {"stop": true}
    out  {"event": "step", "run": 0, "step": 40}  ...
         {"event": "end", "run": 0, "state": "finished", "error": null, "cause": "error", "fatal": false}  ... for each

It serves jobs until its input closes, and ends at once when that happens, also amid a run: a launcher that is killed
leaves no trainer behind. Asked to stop, it has the runs of its job write where they stand, and makes no others. Ends
are those of :class:`isoflop.sweep.job.RunEnd`.
"""

from __future__ import annotations

import math
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

from isoflop.data import Corpus, open_corpus
from isoflop.errors import IsoflopError, RunTaken, StoreError, TimeIsOver
from isoflop.runs import Recorder, RunStore
from isoflop.sweep.job import How, made_with
from isoflop.train.interrupted import Interrupted
from isoflop.train.spec import TrainSpec

if TYPE_CHECKING:
    from isoflop.train import Checkpoints, Outcome

_TELL_SECONDS = 0.2


def main() -> None:
    """Serve jobs from standard input until it closes."""
    events = os.fdopen(os.dup(1), "wb", buffering=0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the launcher's, which ends this process
    os.dup2(2, 1)  # whatever a library prints goes to standard error, never among the events
    jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    stop = threading.Event()
    threading.Thread(target=_read_jobs, args=(jobs, stop), daemon=True).start()
    while True:
        Job(jobs.get(), lambda event: _send(events, event), stop).serve()


def _read_jobs(jobs: queue.SimpleQueue[dict[str, Any]], stop: threading.Event) -> None:
    for line in sys.stdin.buffer:
        said = msgspec.json.decode(line)
        if "stop" in said:
            stop.set()
        else:
            jobs.put(said)
    os._exit(0)


def _send(events: IO[bytes], event: dict[str, Any]) -> None:
    try:
        events.write(msgspec.json.encode(event) + b"\n")
    except BrokenPipeError:  # the launcher is gone: as when the input closes, and not a failure of the run
        os._exit(0)


class Job:
    """A stack of runs being made, each with its recorder; ``tell`` is given the events, ``stop`` ends it."""

    def __init__(
        self, job: dict[str, Any], tell: Callable[[dict[str, Any]], None], stop: threading.Event | None = None
    ) -> None:
        self._tell_event = tell
        self._stop = threading.Event() if stop is None else stop
        self._store = RunStore(job["store"], create=False)
        self._threads: int = job["threads"]
        self._how = How(**job["how"])
        self._specs: list[dict[str, Any]] = job["specs"]
        self._runs: dict[int, tuple[TrainSpec, Recorder]] = {}
        self._told: dict[int, float] = {}

    def serve(self) -> None:
        """Make every run of the job that nobody else makes or has made."""
        for index, values in enumerate(self._specs):
            if self._stop.is_set():
                self._end(index, "stopped", None)
                continue
            try:
                self._open(index, TrainSpec.from_dict(values))
            except RunTaken:
                self._end(index, "taken", None)
            except Exception as error:
                self._fail(index, error)
        if self._runs:
            self._train(list(self._runs))

    def _open(self, index: int, spec: TrainSpec) -> None:
        import torch

        threads = 1 if spec.engine == "torch" else self._threads
        environment = {"torch": str(torch.__version__), "threads": str(threads)}
        recorder = Recorder(self._store, spec.to_dict(), counts=spec.counts(), environment=environment, strict=True)
        self._runs[index] = spec, recorder.__enter__()

    def _train(self, indices: list[int]) -> None:
        """Train these runs as one stack; where it cannot begin, each alone, so that a fault is its own run's."""
        begun = self._told.copy()
        try:
            self._train_stack(indices)
        except Interrupted as interruption:
            for index in indices:
                if index in self._runs:
                    self._interrupt(index, interruption)
        except Exception as error:
            if len(indices) > 1 and self._told == begun:
                for index in indices:
                    self._train([index])
                return
            for index in indices:
                if index in self._runs:
                    _, recorder = self._runs.pop(index)
                    recorder.__exit__(type(error), error, error.__traceback__)
                    self._fail(index, error)

    def _interrupt(self, index: int, interruption: Interrupted) -> None:
        """Leave a run where it stands: open, or as failed where its time is over."""
        _, recorder = self._runs.pop(index)
        if self._stop.is_set():
            recorder.__exit__(Interrupted, interruption, None)
            self._end(index, "stopped", None)
            return
        late = TimeIsOver(
            f"it took longer than run_seconds = {self._how.run_seconds:g}",
            hint="the same command goes on from its checkpoint where run_seconds in [workers] is more",
        )
        recorder.__exit__(TimeIsOver, late, None)
        self._fail(index, late)

    def _train_stack(self, indices: list[int]) -> None:
        import torch

        from isoflop.train import train_stack
        from isoflop.train.step import make_step

        torch.set_num_threads(1)
        specs, recorders = zip(*(self._runs[index] for index in indices), strict=True)
        cache = self._store.cache
        files = [self._checkpoints(spec, recorder) for spec, recorder in zip(specs, recorders, strict=True)]
        limit, began = self._how.run_seconds, time.monotonic()

        def is_over() -> bool:
            late = limit is not None and time.monotonic() - began > limit * len(indices)
            return late or self._stop.is_set()

        def close(k: int, outcome: Outcome) -> None:
            index, recorder = indices[k], recorders[k]
            recorder.__exit__(None, None, None)
            files[k].clear()
            del self._runs[index]
            self._end(index, recorder.record.status, recorder.record.error)

        corpora = [_corpus(cache, spec.corpus) for spec in specs]
        transfer = [[_corpus(cache, each) for each in spec.transfer] for spec in specs]
        step = make_step(specs, threads=self._threads)
        for recorder, corpus, others in zip(recorders, corpora, transfer, strict=True):
            recorder.describe(**made_with(corpus, others, step.ran))
        train_stack(
            specs,
            corpora,
            recorders,
            step=step,
            transfer=transfer,
            checkpoints=files,
            progress=lambda k, step: self._step(indices[k], step),
            ended=close,
            stop=is_over,
        )

    def _checkpoints(self, spec: TrainSpec, recorder: Recorder) -> Checkpoints:
        """Where the checkpoints of a run go; a run that begins from another's has the points of its steps."""
        from isoflop.train.checkpoint import NAME, Checkpoints, kept

        folder, how = self._store.run(recorder.id), self._how
        if not how.extendable:
            return Checkpoints(folder, how.checkpoint_every)
        found = None if NAME in folder.names() else kept(self._store, spec)
        if found is not None:
            recorder.describe(extends=f"{found.run} from step {found.step}")
            for point in points_until(self._store, found.run, found.step):
                recorder.log(**point)
        return Checkpoints(folder, how.checkpoint_every, keep=(spec.held_steps,), begin=found)

    def _step(self, index: int, step: int) -> None:
        now = time.monotonic()
        if now - self._told.setdefault(index, now) > _TELL_SECONDS:
            self._told[index] = now
            self._tell_event({"event": "step", "run": index, "step": step})

    def _fail(self, index: int, error: Exception) -> None:
        words = str(error) if isinstance(error, IsoflopError) else f"{type(error).__name__}: {error}"
        self._end(index, "failed", words, cause=_cause(error), fatal=isinstance(error, StoreError))

    def _end(self, index: int, state: str, error: str | None, *, cause: str = "error", fatal: bool = False) -> None:
        end = {"event": "end", "run": index, "state": state, "error": error, "cause": cause, "fatal": fatal}
        self._tell_event(end)


def points_until(store: RunStore, run: str, step: int) -> Iterator[dict[str, Any]]:
    """The points of a run up to ``step``, as they were logged."""
    columns = store.points_of(run)
    for row in range(len(columns.get("step", ()))):
        point = {name: float(values[row]) for name, values in columns.items() if not math.isnan(values[row])}
        if point["step"] <= step:
            yield {**point, "step": int(point["step"])}


def _cause(error: Exception) -> str:
    """Of :data:`isoflop.sweep.job.RETRIES`."""
    import torch

    if isinstance(error, TimeIsOver):
        return "time"
    return "memory" if isinstance(error, (MemoryError, torch.OutOfMemoryError)) else "error"


@cache
def _corpus(folder: Path, fingerprint: str) -> Corpus:
    return open_corpus(folder, fingerprint)


if __name__ == "__main__":
    main()
