"""A folder on a disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from isoflop.errors import StoreError
from isoflop.runs.files import explained, replace_file
from isoflop.runs.lease import Lease

if TYPE_CHECKING:
    from isoflop.runs.local_run import LocalRun


class _Numbered(msgspec.Struct):
    """What tells the contents of a manifest from each other, or those of a record."""

    number: int = 0
    attempt: int = 0


class LocalFolder:
    """See :class:`isoflop.runs.folder.Folder`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def url(self) -> str:
        return str(self.path)

    def found(self, name: str, content: bytes) -> None:
        with explained("make a run store at", self.path):
            (self.path / "runs").mkdir(parents=True, exist_ok=True)
            replace_file(self.path / name, content)

    def sub(self, name: str) -> LocalFolder:
        return LocalFolder(self.path / name)

    def run(self, name: str) -> LocalRun:
        from isoflop.runs.local_run import LocalRun

        return LocalRun(self.path / name)

    def names(self) -> list[str]:
        with explained("list", self.path):
            return sorted(path.name for path in self.path.iterdir()) if self.path.is_dir() else []

    def having(self, name: str) -> list[str]:
        return [folder for folder in self.names() if (self.path / folder / name).exists()]

    def matching(self, pattern: str) -> list[tuple[str, str]]:
        with explained("list", self.path):
            return sorted((file.parent.name, file.name) for file in self.path.glob(f"*/{pattern}"))

    def size(self, name: str) -> int:
        with explained("read", self.path / name):
            try:
                return (self.path / name).stat().st_size
            except FileNotFoundError:
                return 0

    def read(self, name: str) -> bytes | None:
        with explained("read", self.path / name):
            try:
                return (self.path / name).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def head(self, name: str, n_bytes: int) -> bytes:
        with explained("read", self.path / name), (self.path / name).open("rb") as file:
            return file.read(n_bytes)

    @contextmanager
    def on_disk(self, name: str) -> Iterator[Path]:
        yield self.path / name

    def replace(self, name: str, content: bytes) -> None:
        with explained("write", self.path / name):
            self.path.mkdir(exist_ok=True)
            replace_file(self.path / name, content)
            self._sync()

    def publish(self, name: str, number: int, content: bytes) -> None:
        refuse_later(self.path / name, number - 1)
        self.replace(name, content)

    @contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
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
        import pyarrow as pa

        with explained("read", self.path / name):
            return pa.OSFile(str(self.path / name))

    def local(self, name: str) -> str:
        return str(self.path / name)

    def remove(self, name: str) -> None:
        with explained("remove", self.path / name):
            (self.path / name).unlink(missing_ok=True)

    def remove_folder(self, name: str) -> None:
        with explained("remove", self.path / name):
            shutil.rmtree(self.path / name)

    def move_folder(self, name: str, to: str) -> None:
        with explained("move", self.path / name):
            (self.path / to).parent.mkdir(exist_ok=True)
            (self.path / name).rename(self.path / to)

    def take(self, name: str) -> Lease | None:
        with explained("lock", self.path / name):
            return Lease.take(self.path / name)

    def _sync(self) -> None:
        """Bring the names in the folder to the disk."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def refuse_later(path: Path, newest: int) -> None:
    """Refuse to write a file that is later than the ``newest`` there may be, by the number in it.

    Raises:
        StoreError: it is, or it cannot be read.
    """
    with explained("read", path):
        try:
            there = msgspec.json.decode(path.read_bytes(), type=_Numbered)
        except (FileNotFoundError, msgspec.MsgspecError, RecursionError):  # of none it is known to be later
            return
    if max(there.number, there.attempt) > newest:
        raise StoreError(
            f"another process has written {path} meanwhile",
            hint="on another machine it took this one for dead; what it wrote counts",
        )
