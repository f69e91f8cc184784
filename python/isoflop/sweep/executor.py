"""Where runs are executed: ``run(job, on_step)`` on one worker, start to end. Local processes; clusters fit behind the same two methods."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self

import msgspec

# One run a core: threads inside a run gain less than a second run beside it.
_SINGLE_THREADED = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


@dataclass(frozen=True)
class RunEnd:
    """How a run ended on its worker: ``finished``, ``diverged``, ``failed``, or ``taken`` by another process."""

    state: str
    error: str | None = None
    fatal: bool = False


class Worker(Protocol):
    """Executes one job at a time."""

    def run(self, job: dict[str, Any], on_step: Callable[[int], None]) -> RunEnd:
        """Execute ``job``, calling ``on_step(step)`` as it goes; never raises for what goes wrong inside the job."""

    def close(self) -> None:
        """Stop at once, also amid a job."""


class LocalWorker:
    """A Python process on this machine, started when the first job comes and again after it dies."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def run(self, job: dict[str, Any], on_step: Callable[[int], None]) -> RunEnd:
        if self._closed:
            return RunEnd("failed", "stopped before it began")
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "isoflop.sweep.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **_SINGLE_THREADED},
            )
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(msgspec.json.encode(job) + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            return self._died(process)
        for line in process.stdout:
            event = msgspec.json.decode(line)
            if event["event"] == "end":
                return RunEnd(event["state"], event["error"], event["fatal"])
            on_step(event["step"])
        return self._died(process)

    def _died(self, process: subprocess.Popen[bytes]) -> RunEnd:
        code = process.wait()
        self._process = None
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return RunEnd("failed", f"its process ended by {cause}")

    def close(self) -> None:
        self._closed = True
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
