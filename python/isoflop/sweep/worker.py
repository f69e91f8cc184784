"""The process that trains: reads a job a line from standard input, answers with events, a line each.

    in   {"store": PATH, "spec": {...}}
    out  {"event": "step", "step": 40}  ...  {"event": "end", "state": "finished", "error": null, "fatal": false}

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
from typing import IO, Any

import msgspec

from isoflop.data import Corpus, open_corpus
from isoflop.errors import IsoflopError, RunTaken, StoreError
from isoflop.runs import Recorder, RunRecord, RunStore

_TELL_SECONDS = 0.2


def main() -> None:
    """Serve jobs from standard input until it closes."""
    events = os.fdopen(os.dup(1), "wb", buffering=0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the launcher's, which ends this process
    os.dup2(2, 1)  # whatever a library prints goes to standard error, never among the events
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read_jobs, args=(jobs,), daemon=True).start()
    while True:
        _send(events, _serve(msgspec.json.decode(jobs.get()), events))


def _read_jobs(jobs: queue.SimpleQueue[bytes]) -> None:
    for line in sys.stdin.buffer:
        jobs.put(line)
    os._exit(0)


def _send(events: IO[bytes], event: dict[str, Any]) -> None:
    try:
        events.write(msgspec.json.encode(event) + b"\n")
    except BrokenPipeError:  # the launcher is gone: as when the input closes, and not a failure of the run
        os._exit(0)


def _serve(job: dict[str, Any], events: IO[bytes]) -> dict[str, Any]:
    told = time.monotonic()

    def on_step(step: int) -> None:
        nonlocal told
        if time.monotonic() - told > _TELL_SECONDS:
            told = time.monotonic()
            _send(events, {"event": "step", "step": step})

    try:
        record = _train(job, on_step)
        return {"event": "end", "state": record.status, "error": record.error, "fatal": False}
    except RunTaken:
        return {"event": "end", "state": "taken", "error": None, "fatal": False}
    except Exception as error:
        words = str(error) if isinstance(error, IsoflopError) else f"{type(error).__name__}: {error}"
        fatal = isinstance(error, StoreError)
        return {"event": "end", "state": "failed", "error": words, "fatal": fatal}


def _train(job: dict[str, Any], progress: Callable[[int], None]) -> RunRecord:
    import torch

    from isoflop.train import TrainSpec, train

    torch.set_num_threads(1)

    store = RunStore(job["store"], create=False)
    spec = TrainSpec.from_dict(job["spec"])
    environment = {"torch": str(torch.__version__), "threads": "1"}
    with Recorder(store, spec.to_dict(), counts=spec.counts(), environment=environment) as recorder:
        corpus = _corpus(store.cache, spec.corpus)
        recorder.record.environment["corpus"] = msgspec.json.encode(corpus.described()).decode()
        train(spec, corpus, recorder, progress)
    return recorder.record


@cache
def _corpus(folder: Path, fingerprint: str) -> Corpus:
    return open_corpus(folder, fingerprint)


if __name__ == "__main__":
    main()
