"""The files of a store by name: written whole, never changed, removed once nothing names them.

Everything compacted goes through these few operations, which an object store has as well.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from isoflop.runs.files import explained, replace_file


class Folder:
    """A local folder; names are of files directly in it.

    Raises:
        StoreError: whatever the disk refuses, by every method.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """What is in it, sorted; nothing where there is no such folder."""
        with explained("list", self.path):
            return sorted(path.name for path in self.path.iterdir()) if self.path.is_dir() else []

    def read(self, name: str) -> bytes | None:
        """The content of a file, or None where there is none."""
        with explained("read", self.path / name):
            try:
                return (self.path / name).read_bytes()
            except FileNotFoundError:
                return None

    def replace(self, name: str, content: bytes) -> None:
        """Readers see the old content or the new one, also after a power cut."""
        with explained("write", self.path / name):
            self.path.mkdir(exist_ok=True)
            replace_file(self.path / name, content)
            self._sync()

    @contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """A new file to write to; it is on the disk when the block is left, and gone if it is left by an error."""
        path = self.path / name
        with explained("write", path):
            try:
                with path.open("xb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
            except BaseException:
                path.unlink(missing_ok=True)
                raise

    def open(self, name: str) -> Any:
        """A file as pyarrow reads it, anywhere in it."""
        import pyarrow as pa

        with explained("read", self.path / name):
            return pa.OSFile(str(self.path / name))

    def remove(self, name: str) -> None:
        with explained("remove", self.path / name):
            (self.path / name).unlink(missing_ok=True)

    def _sync(self) -> None:
        """Bring the names in the folder to the disk."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
