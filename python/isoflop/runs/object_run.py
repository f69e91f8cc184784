"""The folder of a run in an object store: each attempt writes objects of its own, and the newest attempt counts."""

from __future__ import annotations

import re
from collections.abc import Mapping

from isoflop.errors import StoreError
from isoflop.runs import object_lease
from isoflop.runs.folder import LEASE, POINTS, RECORD, is_half_written, of_attempt
from isoflop.runs.object_folder import NUMBERED, ObjectFolder, numbered, plain_name
from isoflop.runs.objects import Objects

SEGMENT_BYTES = 2**18
"""What an object of points grows to, by being written again, before the next begins."""

_SEGMENT = re.compile(r"points\.(\d{6})\.(\d{12})\.jsonl")
_POINTS = re.compile(r"points\.(\d+)\.jsonl")


class ObjectRun(ObjectFolder):
    """See :class:`isoflop.runs.folder.RunFolder`."""

    def names(self) -> list[str]:
        """As they are called on a disk."""
        names = {*self.objects.sizes(self.at)}
        attempts = {int(match[1]) for name in names if (match := _SEGMENT.fullmatch(name))}
        newest = self._attempt(names)
        points = {POINTS if attempt == newest else of_attempt(attempt) for attempt in attempts}
        return sorted({_plain(name) for name in names if not _SEGMENT.fullmatch(name)} | points)

    def size(self, name: str) -> int:
        """Of all objects that make up a file."""
        sizes = self.objects.sizes(self.at)
        return sum(sizes[each] for each in self._objects_of(name, sizes))

    def read(self, name: str) -> bytes | None:
        if name != POINTS and not _POINTS.fullmatch(name):
            return super().read(name)
        segments = self._objects_of(name, self.objects.sizes(self.at))
        content = b""
        for segment in segments:
            begin = int(_SEGMENT.fullmatch(segment)[2])  # type: ignore[index]
            lines = self.objects.get(f"{self.at}/{segment}")
            if lines is None or begin != len(content):
                raise StoreError(f"{self.url}/{segment} does not begin where the points before it end")
            content += lines
        return content if segments else None

    def is_held(self) -> bool:
        return object_lease.is_held(self.objects, self.at)

    def begin(self, earlier: int | None) -> None:
        """Nothing is in the way of another attempt."""

    def publish(self, name: str, number: int, content: bytes) -> None:
        """The records of earlier attempts stay."""
        self.create_once(numbered(name, number), content)

    def write_record(self, attempt: int, content: bytes) -> None:
        self.objects.put(f"{self.at}/{numbered(RECORD, attempt)}", content)

    def journal(self, attempt: int) -> ObjectJournal:
        return ObjectJournal(self.objects, self.at, attempt)

    def kept(self) -> list[str]:
        names = self.names()
        return [name for name in (RECORD, POINTS, *filter(_POINTS.fullmatch, names), LEASE) if name in names]

    def half_written(self) -> list[str]:
        return list(filter(is_half_written, self.names()))

    def clear(self, names: list[str]) -> int:
        if not self.names() or (lease := self.take(LEASE)) is None:
            return 0
        sizes = self.objects.sizes(self.at)
        try:
            gone = [each for name in names if name != LEASE for each in self._objects_of(name, sizes)]
            for each in gone:
                self.objects.remove(f"{self.at}/{each}")
        finally:
            lease.stop()
            for each in self._objects_of(LEASE, self.objects.sizes(self.at)):
                self.objects.remove(f"{self.at}/{each}")
        return sum(sizes[each] for each in gone)

    def is_torn(self) -> bool:
        """An object is there whole or not at all."""
        return False

    def cut(self) -> None:
        """Nothing is torn."""

    def foreign(self) -> str | None:
        """An object store has no links."""
        return None

    def arrive(self, files: Mapping[str, bytes]) -> None:
        """The record comes last, for a folder without one is no run."""
        newest = 1 + max((int(match[1]) for name in files if (match := _POINTS.fullmatch(name))), default=0)
        for name, content in files.items():
            match = _POINTS.fullmatch(name)
            if match or name == POINTS:
                self.journal(int(match[1]) if match else newest).append(content)
        self.write_record(newest, files[RECORD])

    def _attempt(self, names: set[str]) -> int:
        """The newest that has a record."""
        records = (NUMBERED.fullmatch(name) for name in names)
        return max((int(match[2]) for match in records if match), default=0)

    def _objects_of(self, name: str, sizes: Mapping[str, int]) -> list[str]:
        """The objects that a file on a disk is here, in their order."""
        names = {*sizes}
        newest = self._attempt(names)

        def called(each: str) -> str:
            match = _SEGMENT.fullmatch(each)
            if match is None:
                return _plain(each)
            return POINTS if int(match[1]) == newest else of_attempt(int(match[1]))

        return sorted(each for each in names if called(each) == name)


class ObjectJournal:
    """See :class:`isoflop.runs.folder.Journal`; the last object is written again until it is large enough.

    What was written twice, after a kill, has the same name both times: nothing is there twice.
    """

    def __init__(self, objects: Objects, folder: str, attempt: int) -> None:
        self._objects, self._stem = objects, f"{folder}/points.{attempt:06d}."
        sizes = objects.sizes(folder)
        segments = sorted(
            name for name in sizes if f"{folder}/{name}".startswith(self._stem) and _SEGMENT.fullmatch(name)
        )
        self._begin, self._last = 0, b""
        if segments:
            self._begin = int(_SEGMENT.fullmatch(segments[-1])[2])  # type: ignore[index]
            self._last = objects.get(f"{folder}/{segments[-1]}") or b""

    @property
    def length(self) -> int:
        return self._begin + len(self._last)

    def append(self, lines: bytes) -> None:
        begin, last = self._begin, self._last
        if len(last) >= SEGMENT_BYTES:
            begin, last = begin + len(last), b""
        self._objects.put(f"{self._stem}{begin:012d}.jsonl", last + lines)
        self._begin, self._last = begin, last + lines

    def sync(self) -> None:
        """What was put is there."""

    def close(self) -> None:
        """Nothing is open."""


def _plain(name: str) -> str:
    return LEASE if object_lease.NAME.fullmatch(name) else plain_name(name)
