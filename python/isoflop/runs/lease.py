"""One writer a run: an advisory lock that the kernel drops when its holder ends, however it ends."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import Protocol

# :func:`is_held` takes the lock for an instant, and who removes a folder for as long as that takes: further tries tell
# them from a writer.
_PAUSES_SECONDS = (0.005, 0.01, 0.02, 0.04)


class Held(Protocol):
    """A lease that is held, of whichever kind."""

    def sign(self) -> None:
        """Say who holds it, for people."""

    def release(self) -> None:
        """Let it go."""


class Lease:
    """An exclusive lock on ``runs/<id>/lease``, held from :meth:`take` to :meth:`release` or the end of the process.

    The file also says who holds it (host and process id), for people; only the lock counts.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, file: Path) -> Lease | None:
        """The lease, its folder made where there is none, or None while another process holds it."""
        for pause in _PAUSES_SECONDS:
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except FileNotFoundError:  # a compaction has just removed the folder, which was still empty
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                time.sleep(pause)
                continue
            if _is_at(file, descriptor):
                return cls(descriptor)
            os.close(descriptor)  # its last holder removed it when it had been opened here
        return None

    def sign(self) -> None:
        """Write who holds the lease."""
        holder = json.dumps({"host": socket.gethostname(), "pid": os.getpid()}) + "\n"
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, holder.encode(), 0)

    def release(self) -> None:
        os.close(self._descriptor)


def is_held(file: Path) -> bool:
    """Whether a living process holds the lease at ``file``."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_at(file: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False
