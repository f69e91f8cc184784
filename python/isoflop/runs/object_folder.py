"""A folder in an object store: nothing is appended, renamed or locked there, so that what changes has numbers.

What is ``manifest.json`` and ``run.json`` on a disk are ``manifest.000007.json`` and ``run.000001.json``, of which
the newest counts: one process alone creates each of them. Points are ``points.<attempt>.<offset>.jsonl``, one object
after the other, each named by the bytes before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import TYPE_CHECKING, Any, BinaryIO

from isoflop.errors import StoreError
from isoflop.runs.files import explained
from isoflop.runs.object_lease import ObjectLease
from isoflop.runs.objects import Objects

if TYPE_CHECKING:
    from isoflop.runs.object_run import ObjectRun

NUMBERED = re.compile(r"(manifest|run)\.(\d{6})\.json")


class ObjectFolder:
    """See :class:`isoflop.runs.folder.Folder`; ``copies`` is where files that never change are kept on this machine."""

    def __init__(self, objects: Objects, path: str, url: str, copies: Path) -> None:
        self.objects, self.at, self.copies = objects, path, copies
        self._url = url

    @property
    def url(self) -> str:
        return self._url

    def found(self, name: str, content: bytes) -> None:
        """Two processes may make a store at once; what cannot tell them apart cannot keep one.

        Raises:
            StoreError: an object can be created twice here.
        """
        path = f"{self.at}/{name}"
        self.objects.create(path, content)
        if self.objects.create(path, content + b"\n"):
            raise StoreError(f"{self.url} cannot hold a run store: it lets two processes create one object")

    def sub(self, name: str) -> ObjectFolder:
        return ObjectFolder(self.objects, f"{self.at}/{name}", f"{self._url}/{name}", self.copies)

    def run(self, name: str) -> ObjectRun:
        from isoflop.runs.object_run import ObjectRun

        return ObjectRun(self.objects, f"{self.at}/{name}", f"{self._url}/{name}", self.copies)

    def names(self) -> list[str]:
        """What is numbered is under its plain name."""
        return sorted({plain_name(name) for name in self.objects.sizes(self.at)})

    def having(self, name: str) -> list[str]:
        return sorted({folder for folder, file in self._inside() if name in (file, plain_name(file))})

    def matching(self, pattern: str) -> list[tuple[str, str]]:
        return sorted((folder, file) for folder, file in self._inside() if fnmatchcase(file, pattern))

    def _inside(self) -> Iterator[tuple[str, str]]:
        """Folders in it, and what is directly in them."""
        for path in self.objects.all_below(self.at):
            folder, _, file = path.removeprefix(f"{self.at}/").partition("/")
            if file and "/" not in file:
                yield folder, file

    def size(self, name: str) -> int:
        sizes = self.objects.sizes(self.at)
        return sizes.get(newest_of(name, sizes) or name, 0)

    def read(self, name: str) -> bytes | None:
        if name not in ("manifest.json", "run.json"):
            return self.objects.get(f"{self.at}/{name}")
        while newest := newest_of(name, self.objects.sizes(self.at)):
            if (content := self.objects.get(f"{self.at}/{newest}")) is not None:
                return content  # else it was replaced, and removed, since it was listed
        return None

    def head(self, name: str, n_bytes: int) -> bytes:
        return self.objects.head(f"{self.at}/{name}", n_bytes)

    @contextmanager
    def on_disk(self, name: str) -> Iterator[Path]:
        with explained("write", self.copies):
            self.copies.mkdir(parents=True, exist_ok=True)
            made = TemporaryDirectory(dir=self.copies, prefix=".")
        with made as folder:
            copy = Path(folder) / name
            self.objects.download(f"{self.at}/{name}", str(copy))
            yield copy

    def replace(self, name: str, content: bytes) -> None:
        self.objects.put(f"{self.at}/{name}", content)

    def publish(self, name: str, number: int, content: bytes) -> None:
        """Readers that have just listed an older one look again."""
        self.create_once(numbered(name, number), content)
        for older in self.objects.sizes(self.at):
            if plain_name(older) == name and older < numbered(name, number):
                self.objects.remove(f"{self.at}/{older}")

    def create_once(self, name: str, content: bytes) -> None:
        """Write an object that no other process has written.

        Raises:
            StoreError: one has.
        """
        if not self.objects.create(f"{self.at}/{name}", content):
            raise StoreError(
                f"another process has written {self.url}/{name} meanwhile",
                hint="give the same command again; nothing is lost",
            )

    @contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """The file is written on this machine and uploaded when the block is left."""
        with explained("write", self.copies):
            self.copies.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=self.copies, prefix=".", suffix=".tmp") as file:
                yield file  # type: ignore[misc]
                file.flush()
                self.objects.upload(file.name, f"{self.at}/{name}")

    def open(self, name: str) -> Any:
        import pyarrow as pa

        return pa.OSFile(self.local(name))

    def local(self, name: str) -> str:
        """Of the copy, which is fetched where there is none; files of these names never change."""
        copy = self.copies / name
        with explained("write", copy):
            if not copy.exists():
                self.copies.mkdir(parents=True, exist_ok=True)
                with NamedTemporaryFile(dir=self.copies, prefix=".", suffix=".tmp", delete=False) as file:
                    fetched = Path(file.name)
                try:
                    self.objects.download(f"{self.at}/{name}", file.name)
                    fetched.rename(copy)
                finally:
                    fetched.unlink(missing_ok=True)
        return str(copy)

    def remove(self, name: str) -> None:
        self.objects.remove(f"{self.at}/{name}")
        with explained("remove", self.copies / name):
            (self.copies / name).unlink(missing_ok=True)

    def remove_folder(self, name: str) -> None:
        for path in self.objects.all_below(f"{self.at}/{name}"):
            self.objects.remove(path)

    def move_folder(self, name: str, to: str) -> None:
        """Copied whole before anything is removed."""
        paths = self.objects.all_below(f"{self.at}/{name}")
        for path in paths:
            self.objects.copy(path, f"{self.at}/{to}{path.removeprefix(f'{self.at}/{name}')}")
        for path in paths:
            self.objects.remove(path)

    def take(self, name: str) -> ObjectLease | None:
        """A folder has one, whatever the name of the file that is locked on a disk."""
        return ObjectLease.take(self.objects, self.at)


def numbered(name: str, number: int) -> str:
    """``run.json`` and 3 make ``run.000003.json``."""
    stem, _, ending = name.rpartition(".")
    return f"{stem}.{number:06d}.{ending}"


def plain_name(name: str) -> str:
    """``run.000003.json`` is ``run.json``; other names are as they are."""
    match = NUMBERED.fullmatch(name)
    return f"{match[1]}.json" if match else name


def newest_of(plain: str, names: Any) -> str | None:
    """Of the numbered files that are called ``plain`` on a disk, the last."""
    return max((name for name in names if name != plain and plain_name(name) == plain), default=None)
