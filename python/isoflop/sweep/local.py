"""Processes of this machine that train, each one job after another."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import IO, Any, Self

import msgspec

from isoflop.errors import missing
from isoflop.sweep.job import OnEnd, OnStep, RunEnd

# One run a core: threads inside a run gain less than a second run beside it.
_SINGLE_THREADED = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class LocalWorker:
    """A Python process on this machine, started when the first job comes and again after it dies."""

    def __init__(self) -> None:
        if importlib.util.find_spec("torch") is None:
            raise missing("torch", extra="train")
        self._process: subprocess.Popen[bytes] | None = None
        self._busy = self._stopped = self._closed = False
        self._lock = threading.Lock()  # stop() and close() come from another thread than run()

    def run(self, job: dict[str, Any], on_step: OnStep, on_end: OnEnd) -> None:
        left = set(range(len(job["specs"])))

        def end(index: int, how: RunEnd) -> None:
            left.remove(index)
            on_end(index, how)

        why = self._run(job, on_step, end)
        for index in sorted(left):
            on_end(index, why or RunEnd("stopped"))

    def _run(self, job: dict[str, Any], on_step: OnStep, on_end: OnEnd) -> RunEnd | None:
        """The end of runs that are left without one, if any are."""
        with self._lock:
            if self._closed or self._stopped:
                return RunEnd("stopped")
            if self._process is None:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "isoflop.sweep.worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env={**os.environ, **_SINGLE_THREADED},
                )
            process, self._busy = self._process, True
        try:
            lived = _converse(process, job, on_step, on_end)
        finally:
            with self._lock:
                self._busy = False
        return None if lived else RunEnd("failed", self._died(process), "lost")

    def _died(self, process: subprocess.Popen[bytes]) -> str:
        with self._lock:
            self._process = None
            code = _reap(process)
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"its process ended by {cause}"

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            if self._process is not None and self._busy:
                assert self._process.stdin is not None
                with suppress(BrokenPipeError):  # it has ended already
                    self._process.stdin.write(b'{"stop": true}\n')
                    self._process.stdin.flush()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()
                if not self._busy:  # else run() is reading from it, to the end
                    _reap(self._process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _converse(process: subprocess.Popen[bytes], job: dict[str, Any], on_step: OnStep, on_end: OnEnd) -> bool:
    """Hand ``job`` to the process and listen until all of its runs end; false where the process ends first."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(msgspec.json.encode(job) + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        return False
    return listen(process.stdout, len(job["specs"]), on_step, on_end)


def listen(events: IO[bytes], left: int, on_step: OnStep, on_end: OnEnd) -> bool:
    """Hear of ``left`` runs, a line an event, until all have ended; false where nothing more is said before."""
    for line in events:
        event = msgspec.json.decode(line)
        if event["event"] == "step":
            on_step(event["run"], event["step"])
            continue
        on_end(event["run"], RunEnd(event["state"], event["error"], event["cause"], event["fatal"]))
        left -= 1
        if not left:
            return True
    return False


def _reap(process: subprocess.Popen[bytes]) -> int:
    """The exit code of a process that ends, its pipes closed."""
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with suppress(BrokenPipeError):  # a job that it did not take
            pipe.close()
    return process.wait()
