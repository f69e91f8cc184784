"""What a store asks of where it is kept: files that are written whole, lines that grow, and leases.

:mod:`isoflop.runs.local` is a disk; :mod:`isoflop.runs.objects` an object store, which has neither appending nor
renaming nor locks. Everything else in a store goes through these two protocols and knows of neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from isoflop.runs.lease import Held

RECORD, POINTS, LEASE = "run.json", "points.jsonl", "lease"
"""In the folder of a run: its record, the points of its newest attempt, who writes it."""


class Folder(Protocol):
    """A folder; names are of files directly in it.

    Raises:
        StoreError: whatever the disk or the object store refuses, by every method.
    """

    @property
    def url(self) -> str:
        """Where it is, for people."""

    def found(self, name: str, content: bytes) -> None:
        """Make the folder, for a store, with its first file."""

    def sub(self, name: str) -> Folder:
        """A folder in it, which need not be there."""

    def run(self, name: str) -> RunFolder:
        """A folder of a run in it, which need not be there."""

    def names(self) -> list[str]:
        """What is in it, sorted; nothing where there is no such folder."""

    def having(self, name: str) -> list[str]:
        """Names of the folders in it that have a file called ``name``, sorted."""

    def matching(self, pattern: str) -> list[tuple[str, str]]:
        """The folders in it and the files in these whose names match a shell pattern, both by name, sorted."""

    def size(self, name: str) -> int:
        """Bytes of a file; 0 where there is none."""

    def read(self, name: str) -> bytes | None:
        """The content of a file, or None where there is none."""

    def head(self, name: str, n_bytes: int) -> bytes:
        """The first bytes of a file, as many as there are."""

    def on_disk(self, name: str) -> AbstractContextManager[Path]:
        """A file on this machine, or a copy of it that goes with the block."""

    def replace(self, name: str, content: bytes) -> None:
        """Readers see the old content or the new one, also after a power cut."""

    def publish(self, name: str, number: int, content: bytes) -> None:
        """Replace a file by its ``number``-th content, once.

        Raises:
            StoreError: another process, which took this one for dead, has published that.
        """

    def create(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A new file to write to; it is there when the block is left, and gone if it is left by an error."""

    def open(self, name: str) -> Any:
        """A file as pyarrow reads it, anywhere in it."""

    def local(self, name: str) -> str:
        """The path on this machine of a file, or of a copy of it."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    def remove_folder(self, name: str) -> None:
        """Remove a folder in it with all that it holds."""

    def move_folder(self, name: str, to: str) -> None:
        """Move a folder that is in it."""

    def take(self, name: str) -> Held | None:
        """The lease on a file, or None while another process holds it."""


class RunFolder(Folder, Protocol):
    """The folder of a run; ``points.jsonl`` and ``points.<attempt>.jsonl`` are read whatever they are kept as."""

    def is_held(self) -> bool:
        """Whether a living process writes the run."""

    def begin(self, earlier: int | None) -> None:
        """Set the points of the ``earlier`` attempt aside; the caller holds the lease."""

    def write_record(self, attempt: int, content: bytes) -> None:
        """Write ``run.json`` as this attempt has it."""

    def journal(self, attempt: int) -> Journal:
        """Of an attempt, for who holds the lease."""

    def kept(self) -> list[str]:
        """Files that the store keeps in it, the record first and the lease last; others may keep more there."""

    def half_written(self) -> list[str]:
        """What a writer that was killed left, sorted."""

    def clear(self, names: list[str]) -> int:
        """Remove files, and the folder if it is empty then, unless a process holds it; the bytes that they took."""

    def is_torn(self) -> bool:
        """Whether the points end amid a line."""

    def cut(self) -> None:
        """Cut the points after their last whole line."""

    def foreign(self) -> str | None:
        """A file of the store in it that leads elsewhere, if there is one."""

    def arrive(self, files: Mapping[str, bytes]) -> None:
        """Come to be, of these files."""


class Journal(Protocol):
    """The points of one attempt as they grow, whole lines of them.

    Raises:
        StoreError: the disk or the object store refuses, by every method.
    """

    @property
    def length(self) -> int:
        """Bytes that are there."""

    def append(self, lines: bytes) -> None:
        """Add all of them, or nothing."""

    def sync(self) -> None:
        """Bring them through every cache."""

    def close(self) -> None:
        """Nothing is appended any more."""


def of_attempt(number: int) -> str:
    """The name of the points of an attempt that is not the newest."""
    return f"points.{number}.jsonl"


def is_half_written(name: str) -> bool:
    """Whether a file is one that its writer renames or removes in the end."""
    return name.startswith(".") and name.endswith(".tmp")
