"""Writing so that a reader never sees half a file, and reading so that a torn tail never hurts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isoflop.errors import StoreError


@contextmanager
def explained(action: str, path: Path | str) -> Iterator[None]:
    """Turn an ``OSError`` on ``path`` into a :class:`StoreError` that says what was tried and what to do."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            f"cannot {action} {path}: {error.strerror or error}", hint=_HINTS.get(error.errno or 0)
        ) from error


_HINTS = {
    28: "the disk is full: free some space and give the same command again; what is finished is kept",  # ENOSPC
    122: "the quota is used up: free some space and give the same command again; what is finished is kept",  # EDQUOT
    13: "the store must be writable by this user",  # EACCES
    30: "the store is on a read-only file system",  # EROFS
}


def replace_file(path: Path, content: bytes) -> None:
    """Write ``content`` beside ``path``, sync it, rename it over ``path``: readers see the old file or the new one."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)


def whole(content: bytes) -> bytes:
    """Lines up to the last line end; what a killed writer left after it is not a line."""
    return content[: content.rfind(b"\n") + 1]


def whole_lines(path: Path) -> bytes:
    """The content of a line-wise file up to its last line end."""
    return whole(path.read_bytes())


def cut_torn_tail(path: Path) -> int:
    """Truncate a line-wise file after its last line end; returns how many bytes were cut."""
    size = path.stat().st_size
    kept = len(whole_lines(path))
    if kept < size:
        os.truncate(path, kept)
    return size - kept
