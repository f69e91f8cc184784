"""Tables of tiles as files: the user's own, and one for the time that a tile is tried."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from isoflop.kernels.configurations import Configuration, entries, folder, table
from isoflop.runs.files import explained, replace_file

_VARIABLE = "ISOFLOP_CONFIGURATIONS"


def keep(op: str, rows: Sequence[Configuration], into: Path | None = None) -> Path:
    """Write ``rows`` to the user's table of ``op``, before its other rows, in place of those that serve the same.

    Raises:
        StoreError: the folder cannot be written; KernelError: the table that is there cannot be read.
    """
    into = into or folder()
    path, new = into / f"{op}.toml", {_serves(row) for row in rows}
    kept = [row for row in entries(op, into) if _serves(row) not in new]
    with explained("write", path):
        into.mkdir(parents=True, exist_ok=True)
        replace_file(path, "\n".join(_entry(row) for row in [*rows, *kept]).encode())
    table.cache_clear()
    return path


@contextmanager
def tried(op: str, row: Configuration) -> Iterator[None]:
    """Within it, calls of this process take ``row`` where it serves; all other tables are the user's as they are."""
    before, own = os.environ.get(_VARIABLE), folder()
    with TemporaryDirectory() as scratch:
        trial = Path(scratch)
        if own.is_dir():
            shutil.copytree(own, trial, dirs_exist_ok=True)
        keep(op, [row], trial)
        os.environ[_VARIABLE] = scratch
        try:
            yield
        finally:
            if before is None:
                del os.environ[_VARIABLE]
            else:
                os.environ[_VARIABLE] = before
            table.cache_clear()


def _serves(row: Configuration) -> tuple[str | None, int | None, int | None]:
    return row.chip, row.bits, row.width


def _entry(row: Configuration) -> str:
    asked: dict[str, object] = {"chip": row.chip and f'"{row.chip}"', "bits": row.bits, "width": row.width}
    lines = [f"{name} = {value}" for name, value in (asked | dict(row)).items() if value is not None]
    return "\n".join(["[[entry]]", *lines, ""])
