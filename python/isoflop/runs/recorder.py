"""One run being written: its points as they come, its result at the end."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from isoflop.errors import RunTaken, SpecError, StoreError
from isoflop.runs.files import cut_torn_tail, explained, replace_file, whole_lines
from isoflop.runs.lease import Lease
from isoflop.runs.points import RUN
from isoflop.runs.record import ENDED, RunRecord, Status, run_id, to_json

if TYPE_CHECKING:
    from isoflop.runs.store import RunStore

_FLUSH_POINTS = 100
_FLUSH_SECONDS = 2.0


class _Step(msgspec.Struct):
    """The one field that every point has."""

    step: float


class Recorder:
    """Records one run into a store; use it as a context manager.

    >>> with Recorder(store, spec, counts={"N": n, "D": d, "C": 6 * n * d}) as rec:
    ...     rec.log(step, tokens=step * batch, loss=loss)
    ...     rec.finish(loss=held_out, tokens=d)

    Leaving the block after :meth:`finish` makes the run ``finished``; after a loss that is not finite ``diverged``; by
    an exception ``failed``, with the error in the record; by an interrupt it stays ``running`` without a lease, which
    readers call interrupted. Points are buffered (100 points or 2 s) and appended as whole JSON lines; the points of
    an earlier, interrupted attempt are kept beside the new ones as ``points.<attempt>.jsonl``.

    Raises:
        RunTaken: another process is writing this run, or it has ended already.
        SpecError: the spec is not plain JSON, or a count is not finite.
        StoreError: the disk refuses.
    """

    def __init__(
        self,
        store: RunStore,
        spec: Mapping[str, Any],
        *,
        counts: Mapping[str, float] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.id = run_id(spec)
        for name, value in (counts or {}).items():
            if not math.isfinite(value):
                raise SpecError(f"count {name} = {value!r} of run {self.id} must be a finite number")
        self._store, self._folder = store, store.folder(self.id)
        self._spec, self._counts, self._environment = dict(spec), dict(counts or {}), dict(environment or {})
        self._encoder = msgspec.json.Encoder(enc_hook=float)  # numbers of numpy and torch
        self._lines: list[bytes] = []
        self._diverged_at: int | None = None
        self._result: dict[str, float] | None = None

    def __enter__(self) -> Self:
        self._earlier()
        with explained("open a run in", self._folder):
            lease = Lease.take(self._folder / "lease")
            if lease is None:
                raise RunTaken(f"run {self.id} is being written by another process")
            self._lease = lease
            try:
                self._open_attempt()
            except BaseException:
                lease.release()
                raise
        return self

    def _open_attempt(self) -> None:
        earlier = self._earlier()
        self._lease.sign()
        for unfinished in self._folder.glob(".run.json.*.tmp"):  # of a writer that was killed amid a rename
            unfinished.unlink()
        points = self._folder / "points.jsonl"
        if earlier is not None and points.exists():
            cut_torn_tail(points)
            points.rename(self._folder / f"points.{earlier.attempt}.jsonl")
        self.record = RunRecord(
            id=self.id,
            status="running",
            attempt=1 if earlier is None else earlier.attempt + 1,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            spec=self._spec,
            counts=self._counts,
            environment=self._environment,
        )
        self._write_record()
        self._descriptor = os.open(points, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._began = self._flushed = time.monotonic()

    def _earlier(self) -> RunRecord | None:
        """The record of the attempt before this one, if there was one and it may be made again."""
        earlier = self._store.get(self.id)
        if earlier is not None and earlier.status in ENDED:
            raise RunTaken(f"run {self.id} is {earlier.status} already", hint="another seed makes another run")
        return earlier

    def describe(self, **environment: str) -> None:
        """Add to what the record says of what the run is made with; it stands there at once, whatever comes after."""
        self.record.environment.update(environment)
        self._write_record()

    def log(self, step: int, **values: float) -> None:
        """Add one point: ``step`` and any named numbers (``tokens``, ``loss``, ``lr``, ...); NaN becomes null.

        Raises:
            SpecError: a number called "run".
            StoreError: the disk refuses.
        """
        if RUN in values:
            raise SpecError(f"a number cannot be called {RUN!r}: the points of many runs have a column of that name")
        loss = values.get("loss")
        if loss is not None and not math.isfinite(loss) and self._diverged_at is None:
            self._diverged_at = step
        self._lines.append(self._encoder.encode({"step": step, **values}))
        if len(self._lines) >= _FLUSH_POINTS or time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Append the buffered points as whole lines."""
        if not self._lines:
            return
        content = memoryview(b"\n".join(self._lines) + b"\n")
        self._lines.clear()
        self._flushed = time.monotonic()
        with explained("append points to", self._folder / "points.jsonl"):
            size = os.fstat(self._descriptor).st_size
            try:
                while content:
                    content = content[os.write(self._descriptor, content) :]
            except BaseException:  # an interrupt too may come between two writes
                os.ftruncate(self._descriptor, size)
                raise

    def sync(self) -> None:
        """Bring what was logged to the disk, through every cache."""
        self.flush()
        with explained("sync", self._folder / "points.jsonl"):
            os.fdatasync(self._descriptor)

    def rewind(self, step: int) -> None:
        """Go on after ``step``: what earlier attempts logged up to there is this one's too; later points are not."""
        decoder = msgspec.json.Decoder(_Step)
        kept: list[bytes] = []
        for attempt in range(1, self.record.attempt):
            earlier = self._folder / f"points.{attempt}.jsonl"
            with explained("read", earlier):
                lines = whole_lines(earlier).splitlines() if earlier.exists() else []
            until = [line for line in lines if decoder.decode(line).step <= step]
            kept = max(kept, until, key=len)  # an attempt may have been killed before it copied its forerunner's
        self._lines = kept + self._lines
        self.flush()

    def finish(self, *, loss: float, **result: float) -> None:
        """State the outcome: ``loss`` (held-out, nats/token), ``tokens``, ...; what is not finite is left out.

        It is written when the block is left.
        """
        if not math.isfinite(loss) and self._diverged_at is None:
            self._diverged_at = int(result.get("step", 0))
        self._result = {name: value for name, value in {"loss": loss, **result}.items() if math.isfinite(value)}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None:
                self._salvage(error)
                return
            self.sync()
            if self._diverged_at is not None:
                self._end("diverged", f"the loss was not finite at step {self._diverged_at}")
            elif self._result is None:
                self._end("failed", "the run ended without a result: finish(loss=...) was not called")
            else:
                self._end("finished", None)
        finally:
            os.close(self._descriptor)
            self._lease.release()

    def _salvage(self, error: BaseException) -> None:
        """Keep what can be kept while ``error`` is on its way up: whole lines, and why the run failed.

        Where the disk refuses even that, the record stays ``running``, which reads as interrupted once the lease is
        gone.
        """
        try:
            self.flush()
            if isinstance(error, Exception):
                self._end("failed", f"{type(error).__name__}: {error}")
        except StoreError as second:
            error.add_note(f"and the run could not be closed: {second.message}")

    def _end(self, status: Status, error: str | None) -> None:
        record = self.record
        record.status, record.error = status, error
        record.ended = datetime.now(UTC).isoformat(timespec="seconds")
        record.seconds = round(time.monotonic() - self._began, 3)
        record.result = self._result if status == "finished" else None
        self._write_record()

    def _write_record(self) -> None:
        with explained("write", self._folder / "run.json"):
            replace_file(self._folder / "run.json", to_json(self.record))
