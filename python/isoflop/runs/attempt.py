"""One attempt at a run: its lease, its record, and the way of its points to the store."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from isoflop.errors import RunTaken
from isoflop.runs.files import explained, whole
from isoflop.runs.folder import LEASE, RECORD, RunFolder, of_attempt
from isoflop.runs.lease import Held
from isoflop.runs.outbox import Outbox
from isoflop.runs.record import ENDED, RunRecord, Status, canonical, run_id, to_json
from isoflop.runs.spool import spools_of

if TYPE_CHECKING:
    from isoflop.runs.store import RunStore


class _Step(msgspec.Struct):
    """The one field that every point has."""

    step: float


class Attempt:
    """A context manager that closes what :meth:`begin` opened.

    Attributes:
        record: of the run, as this attempt has it.
        outbox: where its points go.
    """

    def __init__(self, folder: RunFolder, record: RunRecord, lease: Held, outbox: Outbox) -> None:
        self.record, self.outbox = record, outbox
        self._folder, self._lease = folder, lease
        self._began = time.monotonic()

    @classmethod
    def begin(
        cls,
        store: RunStore,
        spec: Mapping[str, Any],
        counts: Mapping[str, float],
        environment: Mapping[str, str],
        *,
        strict: bool,
    ) -> Attempt:
        """Take the run, set what an earlier attempt wrote aside, and say in its record that it is running.

        Raises:
            RunTaken: another process is writing it, it has ended already, or it is of another spec.
            StoreError: the store refuses.
        """
        run = run_id(spec)
        folder = store.run(run)
        _earlier(store, run, spec)
        if (lease := folder.take(LEASE)) is None:
            raise RunTaken(f"run {run} is being written by another process")
        try:
            with explained("open a run in", folder.url):
                earlier = _earlier(store, run, spec)
                folder.begin(None if earlier is None else earlier.attempt)
                record = RunRecord(
                    id=run,
                    status="running",
                    attempt=1 if earlier is None else earlier.attempt + 1,
                    started=datetime.now(UTC).isoformat(timespec="seconds"),
                    spec=dict(spec),
                    counts=dict(counts),
                    environment=dict(environment),
                )
                folder.publish(RECORD, record.attempt, to_json(record))
                spool = spools_of(store) / f"{run}.{record.attempt}"
                outbox = Outbox(folder, record.attempt, spool, behind=store.is_far, strict=strict)
        except BaseException:
            lease.release()
            raise
        return cls(folder, record, lease, outbox)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.outbox.close()
        finally:
            self._lease.release()

    def describe(self, environment: Mapping[str, str]) -> None:
        """Add to what the record says of what the run is made with."""
        self.record.environment.update(environment)
        self.outbox.write_record(to_json(self.record))

    def logged_before(self, step: int) -> bytes:
        """The lines up to ``step`` of the earlier attempt that has most of them."""
        decoder = msgspec.json.Decoder(_Step)
        before: list[bytes] = []
        for attempt in range(1, self.record.attempt):
            lines = whole(self._folder.read(of_attempt(attempt)) or b"").splitlines(keepends=True)
            until = [line for line in lines if decoder.decode(line).step <= step]
            before = max(before, until, key=len)  # an attempt may have been killed before it copied its forerunner's
        return b"".join(before)

    def end(self, status: Status, error: str | None, result: Mapping[str, float] | None) -> None:
        """Say in the record how the run ended; ``result`` is that of a finished one."""
        record = self.record
        record.status, record.error = status, error
        record.ended = datetime.now(UTC).isoformat(timespec="seconds")
        record.seconds = round(time.monotonic() - self._began, 3)
        record.result = dict(result) if status == "finished" and result is not None else None
        self.outbox.write_record(to_json(record))


def _earlier(store: RunStore, run: str, spec: Mapping[str, Any]) -> RunRecord | None:
    """The record of the attempt before this one, if there was one and it may be made again."""
    earlier = store.get(run)
    if earlier is not None and canonical(earlier.spec) != canonical(spec):
        raise RunTaken(f"run {run} has another spec", hint="two specs share an id: change a field of this one")
    if earlier is not None and earlier.status in ENDED:
        raise RunTaken(f"run {run} is {earlier.status} already", hint="another seed makes another run")
    return earlier
