"""The folder of a run on a disk: points are appended to a file, and an attempt never writes over a later one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from isoflop.runs.files import cut_torn_tail, explained, replace_file, whole_lines
from isoflop.runs.folder import LEASE, POINTS, RECORD, is_half_written, of_attempt
from isoflop.runs.lease import is_held
from isoflop.runs.local import LocalFolder, refuse_later

ARRIVING = ".merge."
"""How folders begin in which runs of another store stand until they are whole."""


class LocalRun(LocalFolder):
    """See :class:`isoflop.runs.folder.RunFolder`."""

    def is_held(self) -> bool:
        with explained("read", self.path / LEASE):
            return is_held(self.path / LEASE)

    def begin(self, earlier: int | None) -> None:
        with explained("set aside points in", self.path):
            for unfinished in self.half_written():
                (self.path / unfinished).unlink()
            points = self.path / POINTS
            if earlier is not None and points.exists():
                cut_torn_tail(points)
                points.rename(self.path / of_attempt(earlier))

    def publish(self, name: str, number: int, content: bytes) -> None:
        self._write(name, number - 1, content)

    def write_record(self, attempt: int, content: bytes) -> None:
        self._write(RECORD, attempt, content)

    def _write(self, name: str, newest: int, content: bytes) -> None:
        refuse_later(self.path / name, newest)
        with explained("write", self.path / name):
            replace_file(self.path / name, content)

    def journal(self, attempt: int) -> FileJournal:
        return FileJournal(self.path / POINTS)

    def kept(self) -> list[str]:
        names = (RECORD, POINTS, *sorted(file.name for file in self.path.glob("points.*.jsonl")), LEASE)
        return [name for name in names if (self.path / name).exists()]

    def half_written(self) -> list[str]:
        return list(filter(is_half_written, self.names()))

    def clear(self, names: list[str]) -> int:
        freed = 0
        with explained("remove files from", self.path):
            if self.path.exists() and (lease := self.take(LEASE)) is not None:
                try:
                    for name in (*names, LEASE):
                        freed += self.size(name)
                        self.remove(name)
                finally:
                    lease.release()
                if next(self.path.iterdir(), None) is None:
                    self.path.rmdir()
        return freed

    def is_torn(self) -> bool:
        with explained("read", self.path / POINTS):
            return len(whole_lines(self.path / POINTS)) < (self.path / POINTS).stat().st_size

    def cut(self) -> None:
        with explained("mend", self.path):
            cut_torn_tail(self.path / POINTS)

    def foreign(self) -> str | None:
        return next((name for name in self.kept() if (self.path / name).is_symlink()), None)

    def arrive(self, files: Mapping[str, bytes]) -> None:
        """By one rename: a run that is half there would be one that lost its points."""
        runs = self.path.parent
        with explained("write", self.path), TemporaryDirectory(dir=runs.parent, prefix=ARRIVING) as made:
            arrived = Path(made) / self.path.name
            arrived.mkdir()
            for name, content in files.items():
                (arrived / name).write_bytes(content)
            runs.mkdir(exist_ok=True)
            arrived.rename(self.path)


class FileJournal:
    """See :class:`isoflop.runs.folder.Journal`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with explained("append points to", path):
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    @property
    def length(self) -> int:
        with explained("read", self._path):
            return os.fstat(self._descriptor).st_size

    def append(self, lines: bytes) -> None:
        content = memoryview(lines)
        with explained("append points to", self._path):
            size = os.fstat(self._descriptor).st_size
            try:
                while content:
                    content = content[os.write(self._descriptor, content) :]
            except BaseException:  # an interrupt too may come between two writes
                os.ftruncate(self._descriptor, size)
                raise

    def sync(self) -> None:
        with explained("sync", self._path):
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)
