"""One writer a run in an object store, where there are no locks: a numbered object that its holder writes again.

Who wants the lease creates the object after the newest; an object store lets only one create it. It is held while it
is younger than :data:`EXPIRES_SECONDS` and not empty; the holder writes it anew every :data:`BEAT_SECONDS`, and empty
to release it. Its age is by the clock of the object store on both ends, so no clock of a machine, however wrong, ends
or prolongs it.

A holder that slept for longer than that may wake up and write: everything that it writes stands under numbers of its
own (see :mod:`isoflop.runs.object_folder`), so that it spoils nothing of its successor's.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import threading

from isoflop.errors import StoreError
from isoflop.runs.heartbeat import BEAT_SECONDS, EXPIRES_SECONDS
from isoflop.runs.objects import Objects

NAME = re.compile(r"lease\.(\d{6})")


class ObjectLease:
    """A lease that is held from :meth:`take` to :meth:`release`, or until it expires after the end of the process."""

    def __init__(self, objects: Objects, path: str, content: bytes) -> None:
        self._objects, self._path, self._content = objects, path, content
        self._over = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._beating.start()

    @classmethod
    def take(cls, objects: Objects, folder: str) -> ObjectLease | None:
        """The lease on a folder, or None while another process holds it."""
        newest, held = _newest(objects, folder)
        if held and objects.age(_path(folder, newest), _now(objects, folder)) < EXPIRES_SECONDS:
            return None
        told = {"host": socket.gethostname(), "pid": os.getpid(), "token": secrets.token_hex(8)}
        content = json.dumps(told).encode() + b"\n"
        mine = _path(folder, newest + 1)
        if not objects.create(mine, content):
            return None
        # What was the newest when it was listed may have been removed meanwhile, after newer ones.
        if _newest(objects, folder)[0] != newest + 1:
            objects.remove(mine)
            return None
        for number in _numbers(objects, folder):
            if number <= newest:
                objects.remove(_path(folder, number))
        return cls(objects, mine, content)

    def stop(self) -> None:
        """Hold it no longer than until it expires."""
        self._over.set()
        self._beating.join()

    def release(self) -> None:
        """Let it go; where the object store cannot be reached it expires, and where its folder is gone so is it."""
        self.stop()
        try:
            if self._objects.get(self._path) is not None:
                self._objects.put(self._path, b"")
        except StoreError:
            return

    def _beat(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            try:
                self._objects.put(self._path, self._content)
            except StoreError:
                continue  # the next beat tries again


def is_held(objects: Objects, folder: str) -> bool:
    """Whether a process holds the lease on a folder, as far as the clock of this machine tells."""
    newest, held = _newest(objects, folder)
    return held and objects.age(_path(folder, newest)) < EXPIRES_SECONDS


def _numbers(objects: Objects, folder: str) -> dict[int, int]:
    """Bytes of the leases by their numbers."""
    found = ((NAME.fullmatch(name), size) for name, size in objects.sizes(folder).items())
    return {int(match[1]): size for match, size in found if match}


def _newest(objects: Objects, folder: str) -> tuple[int, bool]:
    """Its number, and whether it was not released."""
    numbers = _numbers(objects, folder)
    newest = max(numbers, default=0)
    return newest, bool(numbers.get(newest))


def _path(folder: str, number: int) -> str:
    return f"{folder}/lease.{number:06d}"


def _now(objects: Objects, folder: str) -> float:
    return objects.clock(f"{folder}/.clock.{secrets.token_hex(8)}.tmp")
