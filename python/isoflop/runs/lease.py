"""One writer a run: a lock of the kernel, and a heartbeat for those whom locks do not reach.

Between processes of one machine the lock alone counts: the kernel drops it when its holder ends, however it ends. On a
file system that several machines share, locks may not hold between them (NFS, by its version and options). So a lease
is also a file that says on which machine it is held; it is made with its content by one link, which a file system
grants once, its holder touches it every :data:`~isoflop.runs.heartbeat.BEAT_SECONDS` and removes it in the end. To
another machine it is held while it is younger than :data:`~isoflop.runs.heartbeat.EXPIRES_SECONDS`, by the clock of the
file system on both ends, so that no clock of a machine ends or prolongs it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Protocol

import msgspec

from isoflop.runs import heartbeat

# :func:`is_held` takes the lock for an instant, and who removes a folder for as long as that takes: further tries tell
# them from a writer.
_PAUSES_SECONDS = (0.005, 0.01, 0.02, 0.04)
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}
"""Of file systems that have none: there the file is made first, and signed then."""
_HEART = heartbeat.Heartbeat()


class Held(Protocol):
    """A lease that is held, of whichever kind."""

    def release(self) -> None:
        """Let it go."""


class _Signed(msgspec.Struct):
    """What a lease says; ``kernel`` tells machines apart, the rest is for people."""

    kernel: str | None = None


class Lease:
    """An exclusive lease on a file, held from :meth:`take` to :meth:`release` or the end of the process."""

    def __init__(self, file: Path, descriptor: int) -> None:
        self._file, self._descriptor = file, descriptor
        _HEART.begin(self._beat)

    @classmethod
    def take(cls, file: Path) -> Lease | None:
        """The lease, its folder made where there is none, or None while another process holds it."""
        for pause in _PAUSES_SECONDS:
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                with _opened(file) as found:
                    if not _locks(found):
                        time.sleep(pause)
                        continue
                    if not _is_at(file, found):
                        continue  # its last holder removed it when it had been opened here
                    if _beats_elsewhere(found, lambda: _clock(file.parent)):
                        return None
                    file.unlink()
            except FileNotFoundError:  # nobody holds it, or a compaction has just removed the folder
                pass
            if (descriptor := _make(file)) is not None:
                return cls(file, descriptor)
        return None

    def release(self) -> None:
        _HEART.end(self._beat)
        try:
            if _is_at(self._file, self._descriptor):
                with contextlib.suppress(OSError):  # of a folder that cannot be written any more
                    self._file.unlink()
        finally:
            os.close(self._descriptor)

    def _beat(self) -> None:
        os.utime(self._descriptor)


def is_held(file: Path) -> bool:
    """Whether a living process holds the lease at ``file``; on another machine, as far as this one's clock tells."""
    try:
        with _opened(file) as found:
            return not _locks(found, shared=True) or _beats_elsewhere(found, time.time)
    except FileNotFoundError:
        return False


@cache
def kernel() -> str:
    """Names the machine as it is since it was started: processes of one kernel see each other's locks."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return socket.gethostname()


def _make(file: Path) -> int | None:
    """A descriptor of the file, new, locked and signed; None where it is there already."""
    unfinished = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        descriptor = _signed(unfinished)
        try:
            os.link(unfinished, file)
        except OSError as error:
            os.close(descriptor)
            if error.errno not in _NO_LINKS:
                raise
            descriptor = _signed(file)
    except (FileExistsError, FileNotFoundError):  # of the folder
        return None
    finally:
        unfinished.unlink(missing_ok=True)
    if not _is_at(file, descriptor):  # without links it was there before it was locked
        os.close(descriptor)
        return None
    return descriptor


def _signed(file: Path) -> int:
    """A descriptor of a new file, locked, that says who made it."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        told = {"host": socket.gethostname(), "pid": os.getpid(), "kernel": kernel()}
        _locks(descriptor)
        os.write(descriptor, json.dumps(told).encode() + b"\n")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def _opened(file: Path) -> Iterator[int]:
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _locks(descriptor: int, *, shared: bool = False) -> bool:
    """Whether the lock could be taken, which it is then until the descriptor is closed."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _beats_elsewhere(descriptor: int, now: Callable[[], float]) -> bool:
    """Whether a process of another machine holds the lease that is open, and was alive a while ago."""
    try:
        signed = msgspec.json.decode(os.pread(descriptor, 2**12, 0), type=_Signed).kernel
    except msgspec.MsgspecError:  # of an earlier version, or of none
        return False
    if signed in (None, kernel()):
        return False
    return now() - os.fstat(descriptor).st_mtime < heartbeat.EXPIRES_SECONDS


def _clock(folder: Path) -> float:
    """The time by the clock of the file system, for which a file is made and removed."""
    file = folder / f".clock.{secrets.token_hex(8)}.tmp"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        return os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
        file.unlink(missing_ok=True)


def _is_at(file: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False
