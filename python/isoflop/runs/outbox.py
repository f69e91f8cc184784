"""What one recorder writes, on its way to the store: at once, later, or behind the trainer's back."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from isoflop.errors import RecorderWarning, StoreError
from isoflop.runs.folder import RunFolder
from isoflop.runs.spool import Spool

RETRY_SECONDS = 5.0
"""Between two tries at a store that refuses."""
BEHIND_SECONDS = 10.0
"""Between two deliveries to a store that is far away."""


class Outbox:
    """Points and records of one attempt at a run, whose lease the caller holds.

    Args:
        folder: of the run.
        attempt: at it.
        spool: a folder of this machine for what cannot be delivered now.
        behind: deliver from a thread of its own, as to a store whose answers take long; all goes by the spool then.
        strict: raise StoreError where the store refuses: at once, or, ``behind``, from :meth:`sync` and :meth:`close`.
            Else nothing here raises: it is warned once, what was refused waits in the spool, and is tried again now
            and then.
    """

    def __init__(self, folder: RunFolder, attempt: int, spool: Path, *, behind: bool, strict: bool) -> None:
        self._folder, self._attempt, self._spool_at = folder, attempt, spool
        self._behind, self._strict = behind, strict
        self._journal = folder.journal(attempt)
        self._length = self._journal.length
        self._spool = Spool(spool, 0) if behind else None
        self._refusal: StoreError | None = None
        self._warned = False
        self._tried = time.monotonic()
        self._writing, self._delivering = threading.Lock(), threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._deliver_often, name="outbox", daemon=True)
        if behind:
            self._thread.start()

    def append(self, lines: bytes) -> None:
        """Add whole lines to the points."""
        with self._writing:
            if self._at_once(lambda: self._journal.append(lines)):
                self._length += len(lines)
                return
            self._spool_now().append(lines)
        self._go_on()

    def write_record(self, content: bytes) -> None:
        """Put the record in the place of the one before, after all points so far."""
        with self._writing:
            if self._at_once(lambda: self._folder.write_record(self._attempt, content)):
                return
            self._spool_now().write_record(content)
        self._go_on()

    def sync(self) -> None:
        """Bring what was written to the store, through every cache."""
        if self._spool is not None:
            self._deliver()
        else:
            self._at_once(self._journal.sync)
        self._report()

    def close(self) -> None:
        """Deliver what is left, or leave it to ``isoflop runs deliver``."""
        self._over.set()
        if self._behind:
            self._thread.join()
        delivered = self._deliver()
        try:
            if self._spool is not None:
                lost = 0 if delivered else self._spool.in_memory
                self._spool.close(delivered=delivered)
                if not delivered:
                    kept = f"the last {lost} bytes are lost" if lost else "nothing is lost"
                    self._warned = False
                    self._report(f"; {kept}; isoflop runs deliver brings what is in {self._spool_at}")
        finally:
            self._journal.close()

    def _at_once(self, write: Callable[[], None]) -> bool:
        """Whether something is written into the store without a detour; a refusal is the beginning of one."""
        if self._spool is not None:
            return False
        try:
            write()
        except StoreError as error:
            if self._strict:
                raise
            self._refusal = error
            self._spool = Spool(self._spool_at, self._length)
            return False
        return True

    def _spool_now(self) -> Spool:
        assert self._spool is not None, "what is not written at once has a spool"
        return self._spool

    def _go_on(self) -> None:
        if self._behind and self._strict:
            return  # sync and close tell
        if not self._behind and time.monotonic() - self._tried > RETRY_SECONDS:
            self._deliver()
        self._report()

    def _report(self, more: str = "; what is recorded waits on this machine") -> None:
        """Raise or warn of the last refusal, if there is one."""
        if self._refusal is None:
            return
        if self._strict:
            raise self._refusal
        if not self._warned:
            self._warned = True
            warnings.warn(f"{self._refusal.message}{more}", RecorderWarning, stacklevel=2)

    def _deliver_often(self) -> None:
        while not self._over.wait(BEHIND_SECONDS):
            self._deliver()

    def _deliver(self) -> bool:
        """Whether all that was written is in the store; the trainer can go on writing meanwhile."""
        with self._delivering:
            self._tried = time.monotonic()
            spool = self._spool
            if spool is None:
                return True
            try:
                length = self._journal.length
                with self._writing:
                    rest, record = spool.after(length), spool.record
                if rest:
                    self._journal.append(rest)
                if record is not None:
                    self._journal.sync()
                    self._folder.write_record(self._attempt, record)
            except (StoreError, OSError) as error:
                self._refusal = (
                    error if isinstance(error, StoreError) else StoreError(f"cannot read {spool.folder}: {error}")
                )
                return False
            with self._writing:
                self._refusal = None
                self._length = length + len(rest)
                if spool.record is record:
                    spool.record = None
                if not self._behind and spool.record is None and not spool.after(self._length):
                    spool.close(delivered=True)
                    self._spool = None
            return True
