"""The process that trains: reads a job a line from standard input, answers with events, a line each.

    in   {"store": PATH, "specs": [{...}, ...], "threads": 1, "checkpoint_every": 0}
    out  {"event": "step", "run": 0, "step": 40}  ...
         {"event": "end", "run": 0, "state": "finished", "error": null, "fatal": false}  ... one for each run of the job

It serves jobs until its input closes, and ends at once when that happens, also amid a run: a launcher that is killed
leaves no trainer behind. ``state`` is ``taken`` where another process writes or has ended the run. ``fatal`` says
that no other run can do better: the store cannot be written.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

from isoflop.data import Corpus, open_corpus
from isoflop.errors import IsoflopError, RunTaken, StoreError
from isoflop.runs import Recorder, RunStore
from isoflop.train.spec import TrainSpec

if TYPE_CHECKING:
    from isoflop.train import Outcome

_TELL_SECONDS = 0.2


def main() -> None:
    """Serve jobs from standard input until it closes."""
    events = os.fdopen(os.dup(1), "wb", buffering=0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the launcher's, which ends this process
    os.dup2(2, 1)  # whatever a library prints goes to standard error, never among the events
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read_jobs, args=(jobs,), daemon=True).start()
    while True:
        Job(msgspec.json.decode(jobs.get()), lambda event: _send(events, event)).serve()


def _read_jobs(jobs: queue.SimpleQueue[bytes]) -> None:
    for line in sys.stdin.buffer:
        jobs.put(line)
    os._exit(0)


def _send(events: IO[bytes], event: dict[str, Any]) -> None:
    try:
        events.write(msgspec.json.encode(event) + b"\n")
    except BrokenPipeError:  # the launcher is gone: as when the input closes, and not a failure of the run
        os._exit(0)


class Job:
    """A stack of runs being made, each with its recorder; ``tell`` is given the events."""

    def __init__(self, job: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> None:
        self._tell_event = tell
        self._store = RunStore(job["store"], create=False)
        self._threads: int = job["threads"]
        self._every: int = job["checkpoint_every"]
        self._specs: list[dict[str, Any]] = job["specs"]
        self._runs: dict[int, tuple[TrainSpec, Recorder]] = {}
        self._told: dict[int, float] = {}

    def serve(self) -> None:
        """Make every run of the job that nobody else makes or has made."""
        for index, values in enumerate(self._specs):
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

    def _train_stack(self, indices: list[int]) -> None:
        import torch

        from isoflop.train import Checkpoints, train_stack
        from isoflop.train.step import make_step

        torch.set_num_threads(1)
        specs, recorders = zip(*(self._runs[index] for index in indices), strict=True)
        cache = self._store.cache
        files = [Checkpoints(self._store.folder(recorder.id), self._every) for recorder in recorders]

        def close(k: int, outcome: Outcome) -> None:
            index, recorder = indices[k], recorders[k]
            recorder.__exit__(None, None, None)
            files[k].clear()
            del self._runs[index]
            self._end(index, recorder.record.status, recorder.record.error)

        corpora = [_corpus(cache, spec.corpus) for spec in specs]
        step = make_step(specs, threads=self._threads)
        for recorder, corpus in zip(recorders, corpora, strict=True):
            recorder.describe(corpus=msgspec.json.encode(corpus.described()).decode(), engine=step.ran)
        train_stack(
            specs,
            corpora,
            recorders,
            step=step,
            transfer=[[_corpus(cache, each) for each in spec.transfer] for spec in specs],
            checkpoints=files,
            progress=lambda k, step: self._step(indices[k], step),
            ended=close,
        )

    def _step(self, index: int, step: int) -> None:
        now = time.monotonic()
        if now - self._told.setdefault(index, now) > _TELL_SECONDS:
            self._told[index] = now
            self._tell_event({"event": "step", "run": index, "step": step})

    def _fail(self, index: int, error: Exception) -> None:
        words = str(error) if isinstance(error, IsoflopError) else f"{type(error).__name__}: {error}"
        self._end(index, "failed", words, fatal=isinstance(error, StoreError))

    def _end(self, index: int, state: str, error: str | None, *, fatal: bool = False) -> None:
        self._tell_event({"event": "end", "run": index, "state": state, "error": error, "fatal": fatal})


@cache
def _corpus(folder: Path, fingerprint: str) -> Corpus:
    return open_corpus(folder, fingerprint)


if __name__ == "__main__":
    main()
