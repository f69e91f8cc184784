"""One run being written: its points as they come, its result at the end."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from isoflop.errors import RecorderWarning, SpecError, StoreError
from isoflop.runs.attempt import Attempt
from isoflop.runs.buffer import Buffer
from isoflop.runs.delivery import deliver
from isoflop.runs.points import RUN
from isoflop.runs.rank import rank_of_process
from isoflop.runs.record import Status, run_id

if TYPE_CHECKING:
    from isoflop.runs.store import RunStore

_FLUSH_POINTS = 100
_FLUSH_SECONDS = 2.0


class Recorder:
    """Records one run into a store; use it as a context manager.

    >>> with Recorder(store, spec, counts={"N": n, "D": d, "C": 6 * n * d}) as rec:
    ...     rec.log(step, tokens=step * batch, loss=loss)
    ...     rec.finish(loss=held_out, tokens=d)

    Leaving the block after :meth:`finish` makes the run ``finished``; after a loss that is not finite ``diverged``; by
    an exception ``failed``, with the error in the record; by an interrupt it stays ``running`` without a lease, which
    readers call interrupted. Points are buffered (100 points or 2 s) and appended as whole JSON lines; the points of
    an earlier, interrupted attempt are kept beside the new ones.

    A recorder never stops the trainer once the block is entered: where the store refuses, or a value is no number, it
    warns once (:class:`~isoflop.errors.RecorderWarning`) and goes on; what the store does not take waits on this
    machine, and is delivered when the store takes it again, when the block is left, when the run is next recorded, or
    by ``isoflop runs deliver``. To a store in an object store a thread of its own delivers, every 10 s.

    Of the processes of a job, rank 0 records; for the others nothing here does anything.

    Args:
        store: where to.
        spec: plain JSON that makes this run this run.
        counts: ``N``, ``D``, ``C`` and others, of the run.
        environment: what it is made with.
        strict: raise what would be warned of. A sweep does, whose next run a full disk would not take either: there
            the run ends as ``failed``, or interrupted where not even that can be written, and the sweep says why.
        rank: of this process; default what ``torch.distributed`` or the environment variable ``RANK`` says.

    Raises:
        RunTaken: another process is writing this run, or it has ended already (as the block is entered).
        SpecError: the spec is not plain JSON, or a count is not finite.
        StoreError: the disk refuses as the block is entered.
    """

    def __init__(
        self,
        store: RunStore,
        spec: Mapping[str, Any],
        *,
        counts: Mapping[str, float] | None = None,
        environment: Mapping[str, str] | None = None,
        strict: bool = False,
        rank: int | None = None,
    ) -> None:
        self.id = run_id(spec)
        for name, value in (counts or {}).items():
            if not math.isfinite(value):
                raise SpecError(f"count {name} = {value!r} of run {self.id} must be a finite number")
        self._store, self._strict = store, strict
        self._spec, self._counts, self._environment = dict(spec), dict(counts or {}), dict(environment or {})
        self._rank = rank_of_process() if rank is None else rank
        self._buffer = Buffer(self._refuse)
        self._flushed = 0.0
        self._warned = False
        self._attempt: Attempt | None = None
        self._result: dict[str, float] | None = None

    def __enter__(self) -> Self:
        if self._rank == 0:
            deliver(self._store, self.id)
            self._attempt = Attempt.begin(self._store, self._spec, self._counts, self._environment, strict=self._strict)
            self.record = self._attempt.record
            self._flushed = time.monotonic()
        return self

    def describe(self, **environment: str) -> None:
        """Add to what the record says of what the run is made with; it stands there at once, whatever comes after."""
        if self._attempt is not None:
            self._attempt.describe(environment)

    def log(self, step: int, **values: Any) -> None:
        """Add one point: ``step`` and any named numbers (``tokens``, ``loss``, ``lr``, ...); NaN becomes null.

        A tensor on a device is waited for when the points are written, and only then.

        Raises:
            SpecError: a number called "run", or a value that is none (``strict``).
            StoreError: the disk refuses (``strict``).
        """
        if self._attempt is None:
            return
        if RUN in values:
            del values[RUN]
            self._refuse(f"a number cannot be called {RUN!r}: the points of many runs have a column of that name")
        self._buffer.add(step, values)
        if len(self._buffer.points) >= _FLUSH_POINTS or time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the buffered points as whole lines."""
        if self._attempt is not None and self._buffer.points:
            self._flushed = time.monotonic()
            self._attempt.outbox.append(self._buffer.lines())

    def sync(self) -> None:
        """Bring what was logged to the store, through every cache."""
        if self._attempt is not None:
            self.flush()
            self._attempt.outbox.sync()

    def rewind(self, step: int) -> None:
        """Go on after ``step``: what earlier attempts logged up to there is this one's too; later points are not."""
        if self._attempt is not None and (before := self._attempt.logged_before(step)):
            self._attempt.outbox.append(before)

    def finish(self, *, loss: Any, **result: Any) -> None:
        """State the outcome: ``loss`` (held-out, nats/token), ``tokens``, ...; what is not finite is left out.

        It is written when the block is left.
        """
        if self._attempt is None:
            return
        self.flush()
        told = self._buffer.numbers({"loss": loss, **result})
        outcome = told.get("loss")
        if (outcome is None or not math.isfinite(outcome)) and self._buffer.diverged_at is None:
            self._buffer.diverged_at = int(told.get("step") or 0)
        self._result = {name: value for name, value in told.items() if value is not None and math.isfinite(value)}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._attempt is None:
            return
        attempt = self._attempt
        try:
            with attempt:
                if error is None:
                    self.sync()
                    attempt.end(*self._outcome(), self._result)
                else:
                    self._salvage(attempt, error)
        except StoreError as second:
            if error is None:
                raise
            error.add_note(f"and the run could not be closed: {second.message}")
        finally:
            self._attempt = None

    def _outcome(self) -> tuple[Status, str | None]:
        if self._buffer.diverged_at is not None:
            return "diverged", f"the loss was not finite at step {self._buffer.diverged_at}"
        if self._result is None:
            return "failed", "the run ended without a result: finish(loss=...) was not called"
        return "finished", None

    def _salvage(self, attempt: Attempt, error: BaseException) -> None:
        """Keep what can be kept while ``error`` is on its way up: whole lines, and why the run failed.

        Where the disk refuses even that, the record stays ``running``, which reads as interrupted once the lease is
        gone.
        """
        self.flush()
        if isinstance(error, Exception):
            attempt.end("failed", f"{type(error).__name__}: {error}", None)

    def _refuse(self, message: str) -> None:
        """Raise or, once, warn of what cannot be recorded."""
        if self._strict:
            raise SpecError(message)
        if not self._warned:
            self._warned = True
            warnings.warn(f"{message}; it is left out of run {self.id}", RecorderWarning, stacklevel=3)
