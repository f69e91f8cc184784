"""A worker that has each run made by several processes of this machine together, started by torchrun."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from isoflop.sweep.job import OnEnd, OnStep, RunEnd
from isoflop.sweep.local import listen

STOP = "stop"
"""The file beside a job that asks its processes to stop: torchrun hands them no input."""


class TorchrunWorker:
    """One group of processes at a time, a new one for each job.

    Args:
        processes: over which a run is spread.
        spread: how, of :data:`isoflop.train.spread.SPREADS`.
    """

    def __init__(self, processes: int, spread: str) -> None:
        self._processes, self._spread = processes, spread
        self._group: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._lock = threading.Lock()
        self._folder = TemporaryDirectory(prefix="isoflop-torchrun-")

    def run(self, job: dict[str, Any], on_step: OnStep, on_end: OnEnd) -> None:
        left = set(range(len(job["specs"])))

        def end(index: int, how: RunEnd) -> None:
            left.discard(index)
            late = how.state == "stopped" and not self._stopped
            on_end(index, RunEnd("failed", "it took longer than run_seconds", "time") if late else how)

        file = Path(self._folder.name) / "job.json"
        file.write_bytes(msgspec.json.encode(job))
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(self._processes)]
        with self._lock:
            if not self._stopped:
                self._group = subprocess.Popen(
                    [sys.executable, *launch, "-m", "isoflop.sweep.spread", str(file), self._spread],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                )
        why = RunEnd("stopped")
        if self._group is not None:
            assert self._group.stdout is not None
            listen(self._group.stdout, len(left), on_step, end)
            self._group.stdout.close()
            if (code := self._group.wait()) and not self._stopped:
                cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
                why = RunEnd("failed", f"its processes ended by {cause}", "lost")
            self._group = None
        for index in sorted(left):
            on_end(index, why)

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            (Path(self._folder.name) / STOP).touch()

    def close(self) -> None:
        with self._lock:
            self._stopped = True
            if self._group is not None:
                self._group.terminate()  # torchrun ends its processes
