"""What a store would not take, in a folder of this machine until it does: the rest of an attempt's points, its record.

``~/.cache/isoflop/spool/<store>/<run>.<attempt>/`` holds ``points.<offset>.jsonl``, the bytes of the attempt from that
one on, and ``run.json``. Bytes that are in the store already are told by how many there are, so that a delivery that
was cut off, however often, leaves none out and brings none twice.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from isoflop.runs.files import replace_file
from isoflop.runs.folder import LEASE, RECORD
from isoflop.runs.lease import Lease
from isoflop.runs.location import name_of, user_cache

if TYPE_CHECKING:
    from isoflop.runs.store import RunStore


def spools_of(store: RunStore) -> Path:
    """Where what is to be delivered to a store waits, a folder for each attempt."""
    url = store.url if store.is_far else str(store.path.resolve())
    return user_cache() / "spool" / name_of(url)


class Spool:
    """Being written by one process; what this disk refuses too is held in memory, and no method raises for that."""

    def __init__(self, folder: Path, offset: int) -> None:
        self.folder, self.offset = folder, offset
        self.record: bytes | None = None
        self._file: int | None = None
        self._lease: Lease | None = None
        self._written = 0
        self._held = b""

    def append(self, lines: bytes) -> None:
        """Add bytes of the attempt, after those before."""
        self._held += lines
        with contextlib.suppress(OSError):  # they are held
            if self._file is None:
                self._lease = Lease.take(self.folder / LEASE)
                path = self.folder / f"points.{self.offset}.jsonl"
                self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            while self._held:
                written = os.pwrite(self._file, self._held, self._written)
                self._written, self._held = self._written + written, self._held[written:]

    def write_record(self, content: bytes) -> None:
        """Keep the record as it is to be."""
        self.record = content
        with contextlib.suppress(OSError):  # it is held
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_file(self.folder / RECORD, content)

    def after(self, length: int) -> bytes:
        """The bytes of the attempt after its first ``length``."""
        begin = length - self.offset
        kept = os.pread(self._file, max(0, self._written - begin), begin) if self._file is not None else b""
        return kept + self._held[max(0, begin - self._written) :]

    @property
    def in_memory(self) -> int:
        """Bytes that go with the process."""
        return len(self._held)

    def close(self, *, delivered: bool) -> None:
        """Leave it to a later delivery, or remove it after one."""
        with contextlib.suppress(OSError):
            if self._file is not None:
                os.close(self._file)
            if delivered:
                discard(self.folder)
        if self._lease is not None:
            self._lease.release()
        self._file = self._lease = None


def discard(folder: Path) -> None:
    """Remove a spool that is delivered.

    Raises:
        OSError: the disk refuses.
    """
    if folder.is_dir():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
